// Timeline: of a batch while it runs under a rate limit, and of a job.
import assert from "node:assert/strict";
import { shoot } from "../browser.mjs";

export const stack = {
  upstream: ["--latency-ms", 400, "--jitter", 600, "--invalid", 0.2],
  provider: "requests_per_minute = 240\nrequest_burst = 4",
};
export const hash = "#/timeline";

export async function walk({ page }) {
  await page.getByText("Nothing to show yet").waitFor();
  await shoot(page, "timeline-empty");
  await page.getByRole("link", { name: "Try", exact: true }).first().click();
  await page.getByLabel("One text per line").fill(Array.from({ length: 40 }, (_, at) => `Ada ${"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[at % 26]}${at < 26 ? "lder" : "irch"} is a ${20 + at}-year-old baker`).join("\n"));
  await page.getByRole("button", { name: "Run on all 40 texts" }).click();
  await page.locator(".results").getByRole("link", { name: "Timeline" }).click();
  await page.locator(".timeline .status-running").waitFor();
  await page.waitForTimeout(3000);
  await page.locator(".seg.wait-requests").first().waitFor();
  await page.locator(".holding", { hasText: /requests per minute of sim, free in/ }).waitFor();
  await shoot(page, "timeline-running", { axe: false });
  await page.locator(".timeline .status-done").waitFor({ timeout: 40_000 });
  assert.match(await page.locator(".legend").textContent(), /requests per minute of sim/);

  const rows = page.locator(".timeline-table .tl-row.row");
  await rows.nth(2).click();
  await page.locator(".row-detail .span").first().waitFor();
  await shoot(page, "timeline-done");
  await traced(page);

  // Zoom by buttons and by keys; the range is in the address.
  await page.getByRole("button", { name: "Zoom in" }).click();
  assert.match(page.url(), /from=\d+&to=\d+|to=\d+/);
  await page.getByRole("button", { name: "Fit" }).click();
  assert.doesNotMatch(page.url(), /[?&]to=/);
  await page.getByRole("button", { name: "Zoom in" }).focus();
  await page.keyboard.press("+");
  assert.match(page.url(), /to=\d+/);
  await page.keyboard.press("0");
  await page.getByRole("button", { name: "Retried" }).click();
  const badges = await page.locator(".tl-row.row .badge", { hasText: "×" }).count();
  assert.ok(badges > 0, "some items were retried");
  assert.equal(badges, await rows.count(), "and only they are shown");
}

/** A traced item tells its prompt and its answer. */
async function traced(page) {
  const detail = page.locator(".row-detail");
  await detail.getByText("Prompt", { exact: true }).first().click();
  assert.match(await detail.getByLabel("Prompt").first().textContent(), /Ada Clder/);
  await detail.getByText("Answer", { exact: true }).first().click();
  assert.ok((await detail.getByLabel("Answer").first().textContent()).length > 1);
}
