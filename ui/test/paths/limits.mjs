// Limits: a storm of 429 while a batch runs. The page says what holds the work up.
import assert from "node:assert/strict";
import { shoot } from "../browser.mjs";

export const stack = {
  upstream: ["--latency-ms", 200, "--rate-limit-rpm", 120, "--rate-limit-burst", 3, "--retry-after", "seconds"],
  config: "[limits]\nmax_concurrency = 16\n",
  provider: "max_concurrency = 12",
};
export const hash = "#/limits";

export async function walk({ page, url }) {
  await page.locator(".verdict.free").waitFor();
  await shoot(page, "limits-empty");
  const inputs = Array.from({ length: 120 }, (_, at) => `Eve Fisher is a ${20 + at}-year-old pilot`);
  const schema = { type: "object", properties: { name: { type: "string" } }, required: ["name"], additionalProperties: false };
  const abort = new AbortController();
  const batch = fetch(`${url}/v1/extract/batch`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ inputs, schema }), signal: abort.signal }).catch(() => {});
  await page.locator(".verdict.held-up").waitFor();
  await page.locator(".verdict", { hasText: /429/ }).waitFor();
  await page.waitForTimeout(4000);
  await shoot(page, "limits-storm", { axe: false });
  assert.match(await page.locator(".verdict").textContent(), /items? waits?/);
  abort.abort();
  await batch;
  await page.locator(".verdict.free").waitFor();
  await shoot(page, "limits-done");
}
