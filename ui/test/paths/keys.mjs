// Keys: the page asks for one, keeps it for the session, and shows the callers' quotas.
import assert from "node:assert/strict";
import { shoot } from "../browser.mjs";

export const stack = {
  config: [
    '[models.fast]\nprovider = "sim"\ninput_usd_per_million_tokens = 100\noutput_usd_per_million_tokens = 400',
    '[callers.shop]\nkey = "key-of-shop-0001"\nrequests_per_minute = 60\nmax_concurrency = 4\nbudget_usd_per_day = 5',
    '[callers.press]\nkey = "key-of-press-001"\ntokens_per_minute = 20000',
    '[callers.desk]\nkey = "key-of-desk-0001"\nrole = "operator"',
  ].join("\n"),
};

export async function walk({ page, url }) {
  const key = page.getByLabel("API key");
  await key.waitFor();
  await shoot(page, "keys-empty");
  await key.fill("wrong-key");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("alert").waitFor();
  await shoot(page, "keys-failed");
  await key.fill("key-of-shop-0001");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Run a sample of 5" }).click();
  await page.locator(".results .status-done").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("extractd-key")), "key-of-shop-0001");
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  await page.reload();
  await page.getByRole("button", { name: "Run a sample of 5" }).waitFor();

  await page.goto(`${url}/#/callers`);
  await page.getByRole("heading", { name: "shop" }).waitFor();
  await page.getByRole("article", { name: "Budget of shop" }).waitFor();
  assert.equal(await page.getByRole("rowheader", { name: "press" }).count(), 0);
  await page.getByRole("button", { name: "Forget key" }).click();
  await key.waitFor();
  // An operator sees the others too.
  await key.fill("key-of-desk-0001");
  await page.keyboard.press("Enter");
  await page.getByRole("rowheader", { name: "press" }).waitFor();
  await page.getByRole("article", { name: "Budget of shop" }).waitFor();
  const rows = page.locator(".callers tbody tr");
  assert.deepEqual(await page.locator(".callers thead th").allTextContents(), ["Caller", "Calls at once", "Requests / min", "Tokens / min", "Budget today", "Waiting"]);
  assert.match(await rows.filter({ hasText: "shop" }).textContent(), /\d+ \/ 60/);
  assert.match(await rows.filter({ hasText: "press" }).textContent(), /\/ 20K/);
  // The caller that has used some of its quota comes before the one that has used none.
  assert.match(await rows.first().textContent(), /^shop/);
  await shoot(page, "callers");
  await page.getByRole("link", { name: "press" }).click();
  await page.waitForURL(/#\/callers\/press/);
  await page.getByRole("article", { name: "Budget of shop" }).waitFor({ state: "detached" });
  await page.getByRole("article", { name: /Tokens per minute/ }).waitFor();
  await shoot(page, "callers-one");
  await page.getByRole("button", { name: "Forget key" }).click();
  await key.waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("extractd-key")), null);
}
