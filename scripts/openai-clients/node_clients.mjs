// The official `openai` package for JavaScript, and the Vercel AI SDK with its OpenAI and OpenAI-compatible providers.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { generateObject, generateText, streamObject, streamText, tool } from "ai";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { z } from "zod";

const baseURL = process.env.BASE_URL;
const User = z.object({ name: z.string(), age: z.number().int() });
const expected = { name: "Jason", age: 25 };
const messages = [{ role: "user", content: "Jason is 25 years old" }];
const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version;

const client = new OpenAI({ baseURL, apiKey: "sk-any", maxRetries: 0 });
const parsed = await client.chat.completions.parse({
  model: "gpt-4o-mini", messages, response_format: zodResponseFormat(User, "user"),
});
assert.deepEqual(parsed.choices[0].message.parsed, expected);
assert.equal(parsed.usage.total_tokens, 30);

const runner = client.chat.completions.stream({
  model: "gpt-4o-mini", messages, response_format: zodResponseFormat(User, "user"), stream_options: { include_usage: true },
});
const deltas = [];
runner.on("content.delta", ({ delta }) => deltas.push(delta));
const final = await runner.finalChatCompletion();
assert.deepEqual(final.choices[0].message.parsed, expected);
assert.equal(final.usage.total_tokens, 30);
assert.ok(deltas.length > 1);

const text = await client.chat.completions.create({ model: "gpt-4o-mini", messages: [{ role: "user", content: "Hi" }] });
assert.equal(text.choices[0].message.content, "Hello from the provider.");
await assert.rejects(
  client.chat.completions.create({ model: "gpt-4o-mini", messages, n: 2 }),
  (error) => error instanceof OpenAI.BadRequestError && error.param === "n" && error.type === "invalid_request_error",
);
assert.ok((await client.models.list()).data.some((model) => model.id === "openai/gpt-4o-mini"));

const openai = createOpenAI({ baseURL, apiKey: "sk-any" });
const compatible = createOpenAICompatible({ name: "extractd", baseURL, apiKey: "sk-any", supportsStructuredOutputs: true });
for (const model of [openai.chat("gpt-4o-mini"), openai.responses("gpt-4o-mini"), compatible("gpt-4o-mini")]) {
  const { object, usage } = await generateObject({ model, schema: User, prompt: "Jason is 25 years old" });
  assert.deepEqual(object, expected);
  assert.equal(usage.totalTokens, 30);
  const list = await generateObject({ model, schema: User, output: "array", prompt: "Jason is 25 years old" });
  assert.deepEqual(list.object[0], expected);
  const stream = streamObject({ model, schema: User, prompt: "Jason is 25 years old, and streams" });
  const versions = [];
  for await (const version of stream.partialObjectStream) versions.push(version);
  assert.deepEqual(await stream.object, expected);
  assert.ok(versions.length > 1, JSON.stringify(versions));
  const tools = { weather: tool({ inputSchema: z.object({ city: z.string() }), execute: async () => "sunny" }) };
  const called = await generateText({ model, tools, prompt: "What is the weather?" });
  assert.deepEqual(called.toolCalls[0].input, { city: "Paris" });
  const forced = await generateText({ model, tools, toolChoice: "required", prompt: "What is the weather?" });
  assert.deepEqual(forced.toolCalls[0].input, { city: "Paris" });
  const streamed = streamText({ model, prompt: "Hi" });
  let answer = "";
  for await (const part of streamed.textStream) answer += part;
  assert.equal(answer, "Hello from the provider.");
}
console.log("openai (JavaScript)", version("openai"), "ai", version("ai"), "@ai-sdk/openai", version("@ai-sdk/openai"),
  "@ai-sdk/openai-compatible", version("@ai-sdk/openai-compatible"));
