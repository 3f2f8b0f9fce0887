// Race: the five methods on the same texts; their times keep the order that the article found.
import assert from "node:assert/strict";
import { shoot } from "../browser.mjs";

export const stack = { upstream: ["--latency-ms", 850] };
export const hash = "#/race";

export async function walk({ page }) {
  await shoot(page, "race-empty");
  await page.getByRole("button", { name: "Start the race" }).click();
  await page.getByText("One call to warm up").waitFor();
  await page.locator(".lane-running").first().waitFor();
  await page.waitForTimeout(1300);
  await shoot(page, "race-running", { axe: false });
  await page.locator(".lane-done").nth(4).waitFor({ timeout: 20_000 });
  const times = (await page.locator(".lane .time").allTextContents()).map((text) => Number.parseFloat(text));
  const [sequential, gather, completed, gatherLimited, completedLimited] = times;
  assert.ok(sequential > 5.9 && sequential < 9, `sequential ${sequential}`);
  for (const time of [gather, completed]) assert.ok(time > 0.8 && time < 1.8, `all at once ${time}`);
  for (const time of [gatherLimited, completedLimited]) assert.ok(time > 3.3 && time < 5, `limited ${time}`);
  assert.equal(await page.locator(".bar-ok").count(), 35);
  await shoot(page, "race-done");

  // The limit and the start are in the address.
  await page.getByLabel("N", { exact: true }).fill("3");
  await page.getByRole("button", { name: "One lane at a time" }).click();
  assert.match(page.url(), /n=3/);
  assert.match(page.url(), /start=each/);
}
