/** Extract, batch and jobs with the client that @hey-api/openapi-ts generates. */

import assert from "node:assert/strict";
import { createJob, extract, extractBatch, listJobResults, streamJobEvents } from "./heyapi/index.js";
import { client } from "./heyapi/client.gen.js";

const schema = { type: "object", properties: { name: { type: "string" }, age: { type: "integer" } }, required: ["name", "age"] };
const inputs = ["John Smith is 30 years old", "Sarah Johnson is 25 years old"];
client.setConfig({ baseUrl: process.argv[2] ?? "" });

const one = await extract({ body: { input: inputs[0] ?? "", schema } });
assert.equal(one.data?.status, "succeeded");
const many = await extractBatch({ body: { inputs, schema } });
assert.deepEqual(many.data?.results.map((result) => result.index), [0, 1]);
const created = await createJob({ body: { inputs, schema } });
assert(created.data);
const path = { id: created.data.id };
const { stream } = await streamJobEvents({ path });
let events = 0;
for await (const _ of stream) events += 1;
assert(events >= 3, `${events} events`);
const results = await listJobResults({ path });
assert.equal(results.data?.data.length, 2);
