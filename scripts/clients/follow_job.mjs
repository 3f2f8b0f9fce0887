// Creates a job with the TypeScript client and follows it to its end. Prints the job's ID, then each result's index and age.

import { Extractd } from "../../clients/typescript/dist/index.js";

const [url, count] = process.argv.slice(2);
const person = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
};
const texts = Array.from({ length: Number(count) }, (_, n) => `John Smith is a ${n}-year-old engineer`);

const client = new Extractd({ baseUrl: url });
const job = await client.createJob(person, texts);
console.log(job.id);
for await (const result of job.results()) console.log(`${result.index} ${result.value.age}`);
