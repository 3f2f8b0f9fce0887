// Models and Schemas: what can be asked; a schema is stored, corrected, tried and removed.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { shoot } from "../browser.mjs";

// A provider whose model takes no temperature, as reasoning models do.
const reasoning = createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  const rejected = { error: { message: "Unsupported parameter: 'temperature' is not supported with this model.", type: "invalid_request_error", param: "temperature", code: "unsupported_parameter" } };
  const answer = { choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: '{"name":"Eve"}' } }], usage: { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14 } };
  const refuses = "temperature" in JSON.parse(body);
  response.writeHead(refuses ? 400 : 200, { "content-type": "application/json" });
  response.end(JSON.stringify(refuses ? rejected : answer));
});
reasoning.listen(0, "127.0.0.1");
await once(reasoning, "listening");
reasoning.unref();

export const stack = {
  config: `[providers.deep]\nkind = "openai"\nbase_url = "http://127.0.0.1:${reasoning.address().port}/v1"\napi_key = "none"\n[models.thinker]\nprovider = "deep"\n` +
    '[models.careful]\nprovider = "sim"\nmodel = "large"\ninput_usd_per_million_tokens = 2\noutput_usd_per_million_tokens = 8\nfallback = ["sim/fast"]\n',
};
export const hash = "#/models";

export async function walk({ page, url }) {
  const schema = { type: "object", properties: { name: { type: "string" } }, required: ["name"], additionalProperties: false };
  const asked = await fetch(`${url}/v1/extract`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ input: "Eve is a pilot", schema, model: "thinker" }) });
  assert.equal(asked.status, 200, await asked.text());
  await page.reload();
  await page.locator(".panel", { hasText: "thinker" }).getByText(/leave out temperature: the provider rejected it; tried again in (59|60) min/).waitFor();
  await shoot(page, "models");
  await page.locator(".panel", { hasText: "careful" }).getByRole("link", { name: "Try it" }).click();
  await page.waitForFunction(() => [...document.querySelectorAll("select")].some((select) => select.value === "careful"));

  await page.getByRole("link", { name: "Schemas" }).click();
  await page.getByText("No schema is registered yet").waitFor();
  await shoot(page, "schemas-empty");
  await page.getByRole("link", { name: "New schema" }).click();
  await page.getByLabel("Name").fill("person");
  const editor = page.getByLabel("JSON Schema");
  const good = await editor.inputValue();
  await editor.fill(good.replace('"integer"', '"integre"'));
  await page.getByRole("button", { name: "Store" }).click();
  await page.locator(".line-error").waitFor();
  const line = good.split("\n").findIndex((text) => text.includes('"integer"')) + 1;
  assert.match(await page.locator(".line-error").textContent(), new RegExp(`^Line ${line}\\b`));
  await shoot(page, "schemas-failed");
  await editor.fill(good);
  await page.getByRole("button", { name: "Store" }).click();
  await page.getByRole("link", { name: "person", exact: true }).waitFor();
  await shoot(page, "schemas-done");

  // A changed schema keeps the earlier one, which can be compared and edited again.
  await page.getByText("no earlier version").waitFor();
  await editor.fill(good.replace('"integer"', '"number"'));
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("1 earlier version").waitFor();
  await page.getByRole("button", { name: "Compare" }).click();
  await page.locator(".diff .added", { hasText: '"integer"' }).waitFor();
  await page.locator(".diff .removed", { hasText: '"number"' }).waitFor();
  await shoot(page, "schemas-versions");
  await page.getByRole("button", { name: "Edit this version" }).click();
  assert.equal(await editor.inputValue(), good);
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("status").filter({ hasText: "Replaced" }).waitFor();
  await page.getByText("1 earlier version").waitFor();
  await page.getByRole("link", { name: "Try it" }).click();
  assert.match(await page.getByLabel("JSON Schema").inputValue(), /"Person"/);
  await page.getByRole("link", { name: "Schemas" }).click();
  await page.getByRole("link", { name: "person", exact: true }).click();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByText("No schema is registered yet").waitFor();
}
