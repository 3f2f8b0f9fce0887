/** The client against the real server with a simulated provider behind it, on free loopback ports. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { z } from "zod";

import * as extractd from "extractd";
import { Extractd, type JsonSchema } from "extractd";

const BUILT = process.env["BINARIES"] ?? "../../target/debug";
const Person = z.object({ name: z.string(), age: z.int(), occupation: z.string() });
const JOHN = "John Smith is a 30-year-old software engineer";
const TEXTS = Array.from({ length: 12 }, (_, n) => `Person ${n} is a ${20 + n}-year-old engineer`);
const children: ChildProcess[] = [];
let [url, provider, environment]: [string, string, NodeJS.ProcessEnv] = ["", "", {}];
let server: ChildProcess;

async function freePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  await new Promise((resolve) => listener.close(resolve));
  assert(address && typeof address === "object");
  return address.port;
}

async function start(): Promise<void> {
  server = spawn(`${BUILT}/extractd`, { env: environment, stdio: "inherit" });
  children.push(server);
  for (let tries = 0; tries < 200; tries++) {
    const healthy = await fetch(`${url}/healthz`).then((response) => response.ok, () => false);
    if (healthy) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("extractd did not start");
}

async function kill(): Promise<void> {
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGKILL");
  await ended;
}

before(async () => {
  const upstream = spawn(`${BUILT}/upstream-sim`, ["--latency-ms", "20"], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(upstream);
  assert(upstream.stdout);
  for await (const line of createInterface({ input: upstream.stdout })) {
    provider = /http:\S+/.exec(line)?.[0] ?? "";
    break;
  }
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  environment = {
    PATH: process.env["PATH"],
    EXTRACTD_LISTEN: `127.0.0.1:${port}`,
    EXTRACTD_DATA_DIR: mkdtempSync(join(tmpdir(), "extractd-")),
    EXTRACTD_MODEL: "openai/simulated",
    EXTRACTD_LOG: "error",
    EXTRACTD_MAX_CONCURRENCY: "4",
    OPENAI_BASE_URL: provider,
    OPENAI_API_KEY: "none",
  };
  await start();
});

after(() => {
  for (const child of children) child.kill("SIGKILL");
});

test("evidence has offsets for strings of JavaScript", async () => {
  const text = `👩‍👧 ${JOHN}`;
  const client = new Extractd({ baseUrl: url });
  for await (const result of client.asCompleted(Person, [text], { grounding: "report" })) {
    assert(result.ok && result.evidence);
    const name = result.evidence.find(({ pointer }) => pointer === "/name");
    assert.equal(name?.status, "exact");
    assert.deepEqual(name.spans.map(({ start, end }) => text.slice(start, end)), ["John Smith"]);
  }
  const job = await client.createJob(Person, [text], { grounding: "report" });
  for await (const { evidence } of job.results()) {
    assert.deepEqual(evidence?.[0]?.spans.map(({ start, end }) => text.slice(start, end)), ["John Smith"]);
  }
});

test("one text, many in order, many as completed", async () => {
  const client = new Extractd({ baseUrl: url, options: { temperature: 0 } });
  const person = await client.extract(Person, JOHN);
  const name: string = person.name;
  assert.equal(typeof name, "string");
  const people = await client.gather(Person, TEXTS, { concurrency: 3 });
  assert.equal(people.length, TEXTS.length);
  const seen = new Map<number, unknown>();
  for await (const result of client.asCompleted(Person, TEXTS)) seen.set(result.index, extractd.valueOf(result));
  assert.deepEqual([...seen.entries()].sort(([a], [b]) => a - b).map(([, value]) => value), people);
});

test("lists and partial objects while the model writes", async () => {
  const client = new Extractd({ baseUrl: url });
  for await (const person of client.extractIterable(Person, JOHN)) Person.parse(person);
  let last: unknown;
  for await (const version of client.partial(Person, JOHN)) last = version;
  Person.parse(last);
});

test("elements of a recursive schema", async () => {
  const Node = z.object({ name: z.string(), get children() { return z.array(Node); } });
  let body: { schema: unknown } | undefined;
  const client = new Extractd({
    fetch: async (_, request) => {
      body = JSON.parse(String(request?.body));
      const events = `event: item\ndata: {"index":0,"data":{"name":"a","children":[]},"attempt":1}\n\nevent: result\ndata: {"status":"succeeded","data":[{"name":"a","children":[]}]}\n\nevent: done\ndata: {}\n\n`;
      return new Response(events, { headers: { "content-type": "text/event-stream" } });
    },
  });
  const nodes = [];
  for await (const node of client.extractIterable(Node, "a")) nodes.push(node);
  assert.deepEqual(nodes, [{ name: "a", children: [] }]);
  assert.match(JSON.stringify(body?.schema), /"\$ref":"#\/items"|"\$ref":"#\/\$defs/);
});

test("a plain JSON Schema, with the caller's type", async () => {
  const client = new Extractd({ baseUrl: url });
  const schema: JsonSchema<{ city: string }> = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const { city } = await client.extract(schema, JOHN);
  assert.equal(typeof city, "string");
});

test("errors have types", async () => {
  const client = new Extractd({ baseUrl: url });
  await assert.rejects(client.extract(Person, JOHN, { model: "nobody/nothing" }), (error) => {
    assert(error instanceof extractd.BadRequestError);
    assert.equal(error.code, "invalid_request");
    return true;
  });
  const [first, second] = await client.gatherSettled(Person, [JOHN, " "]);
  assert(first?.ok);
  assert(second && !second.ok && second.error instanceof extractd.BadRequestError);
  const nobody = new Extractd({ baseUrl: "http://127.0.0.1:9" });
  await assert.rejects(nobody.extract(Person, JOHN), extractd.ConnectionBroken);
  await assert.rejects(client.job(Person, "job_none"), extractd.NotFoundError);
});

test("a job survives a connection that is dead although nobody closed it", async () => {
  let follows = 0;
  const counted: typeof fetch = (input, request) => {
    if (String(input).includes("/events")) follows += 1;
    return fetch(input, request);
  };
  const client = new Extractd({ baseUrl: url, fetch: counted, options: { cache: "off" } });
  const texts = Array.from({ length: 200 }, (_, n) => `Person ${n} is a ${n % 90}-year-old engineer`);
  const job = await client.createJob(Person, texts);
  const indexes: number[] = [];
  for await (const result of job.results({ silenceMs: 500 })) {
    indexes.push(result.index);
    if (indexes.length === 20) {
      server.kill("SIGSTOP");
      setTimeout(() => server.kill("SIGCONT"), 1_500);
    }
  }
  assert.deepEqual(indexes.sort((a, b) => a - b), texts.map((_, index) => index));
  assert(follows > 1, "it has reconnected");
  await job.delete();
});

test("a job survives restarts of the server", async () => {
  const client = new Extractd({ baseUrl: url, options: { cache: "off" } });
  const texts = Array.from({ length: 300 }, (_, n) => `Person ${n} is a ${n % 90}-year-old engineer`);
  const job = await client.createJob(Person, texts);
  const restarts = (async () => {
    for (let times = 0; times < 3; times++) {
      await new Promise((resolve) => setTimeout(resolve, 600));
      await kill();
      await start();
    }
  })();
  const indexes: number[] = [];
  for await (const result of job.results({ reconnectForMs: 30_000 })) indexes.push(result.index);
  await restarts;
  assert.deepEqual(indexes.sort((a, b) => a - b), texts.map((_, index) => index));
  assert.equal((await job.wait()).status, "completed");
  await job.delete();
});
