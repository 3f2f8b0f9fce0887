/** Extract, batch and jobs with openapi-fetch over the types of openapi-typescript. */

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const schema = { type: "object", properties: { name: { type: "string" }, age: { type: "integer" } }, required: ["name", "age"] };
const inputs = ["John Smith is 30 years old", "Sarah Johnson is 25 years old"];
// A streaming operation has several media types; this client reads JSON.
const client = createClient<paths, "application/json">({ baseUrl: process.argv[2] ?? "" });

const one = await client.POST("/v1/extract", { body: { input: inputs[0] ?? "", schema } });
assert.equal(one.data?.status, "succeeded");
const many = await client.POST("/v1/extract/batch", { body: { inputs, schema } });
assert.deepEqual(many.data?.results.map((result) => result.index), [0, 1]);
const wrong = await client.POST("/v1/extract", { body: { input: "a", schema: "nothing" } });
assert.equal(wrong.response.status, 422);
const created = await client.POST("/v1/jobs", { body: { inputs, schema } });
assert(created.data);
const path = { id: created.data.id };
for (let tries = 0; tries < 200; tries++) {
  const job = await client.GET("/v1/jobs/{id}", { params: { path } });
  if (job.data?.status === "completed") break;
  await new Promise((resolve) => setTimeout(resolve, 50));
}
const results = await client.GET("/v1/jobs/{id}/results", { params: { path, query: { order: "input" } } });
assert.equal(results.data?.data.length, 2);
