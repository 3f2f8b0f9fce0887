// Outage: a provider that refuses its key. Limits, Jobs and Try say so, and what to do.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { shoot } from "../browser.mjs";

const refusing = createServer((request, response) => {
  request.resume();
  response.writeHead(401, { "content-type": "application/json" });
  response.end(JSON.stringify({ error: { message: "Incorrect API key provided", type: "invalid_request_error", code: "invalid_api_key" } }));
});
refusing.listen(0, "127.0.0.1");
await once(refusing, "listening");
refusing.unref();

export const stack = {
  upstream: ["--latency-ms", 50],
  config: `[providers.locked]\nkind = "openai"\nbase_url = "http://127.0.0.1:${refusing.address().port}/v1"\napi_key = "wrong"\n[models.big]\nprovider = "locked"\n`,
};
export const hash = "#/limits";

export async function walk({ page, url }) {
  await page.locator(".verdict.free").waitFor();
  const schema = { type: "object", properties: { name: { type: "string" } }, required: ["name"], additionalProperties: false };
  const created = await fetch(`${url}/v1/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ inputs: ["Eve Fisher is a pilot", "Tom Mason is a baker"], schema, model: "locked/big" }),
  });
  assert.equal(created.status, 202);
  const { id } = await created.json();
  await page.locator(".verdict.broken").waitFor();
  assert.match(await page.locator(".verdict").textContent(), /locked refuses the key.*Incorrect API key.*Set a valid key/s);
  await shoot(page, "limits-outage");

  await page.getByRole("link", { name: "Jobs", exact: true }).click();
  await page.locator(".job-row", { hasText: "locked refuses the key" }).waitFor();
  await page.locator(`.job-row a[href*="${id}"]`).click();
  await page.locator(".blocked", { hasText: "Incorrect API key" }).waitFor();
  await shoot(page, "job-blocked");
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.locator(".status-cancelled").first().waitFor();

  await page.getByRole("link", { name: "Try", exact: true }).click();
  await page.getByLabel("Model").selectOption({ label: "big" });
  await page.getByRole("button", { name: "Run a sample of 5" }).click();
  await page.locator(".failures[open]", { hasText: /refuses the configured API key.*Incorrect API key/ }).waitFor();
  assert.equal(await page.locator(".result-table .cell-error").count(), 5);
  await shoot(page, "try-outage");
}
