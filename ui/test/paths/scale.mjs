// Scale: ten thousand texts through Try. The page stays responsive, and only the rows on screen are in the document.
import assert from "node:assert/strict";

export const stack = { upstream: ["--latency-ms", 5], config: "[limits]\nmax_concurrency = 256\n" };

const TOTAL = 10_000;

export async function walk({ page }) {
  // The entry may be recorded some time after the paint.
  const entry = await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  const paint = await entry.jsonValue();
  assert.ok(paint < 1000, `first paint after ${paint} ms`);
  await page.getByLabel("File with texts").setInputFiles({
    name: "people.ndjson",
    mimeType: "application/x-ndjson",
    buffer: Buffer.from(Array.from({ length: TOTAL }, (_, at) => JSON.stringify(`Cy Number${at} is a ${20 + (at % 60)}-year-old gardener`)).join("\n")),
  });
  await page.getByRole("button", { name: "Run on all 10,000 texts" }).click();
  await page.evaluate(() => {
    window.longest = 0;
    let last = performance.now();
    const watch = (now) => {
      window.longest = Math.max(window.longest, now - last);
      last = now;
      requestAnimationFrame(watch);
    };
    requestAnimationFrame(watch);
  });
  await page.locator(".results .status-running").waitFor();
  await page.locator(".results .status-done").waitFor({ timeout: 180_000 });
  const longest = await page.evaluate(() => window.longest);
  assert.ok(longest < 1000, `the page stood still for ${longest} ms`);
  await page.locator(".result-table").focus();
  await page.keyboard.press("End");
  await page.getByRole("button", { name: "Open row 10000", exact: true }).waitFor();
  assert.ok((await page.locator(".result-table .row").count()) < 60);
  const heap = await page.evaluate(() => performance.memory?.usedJSHeapSize ?? 0);
  assert.ok(heap < 200 * 1024 * 1024, `${heap} bytes of heap`);
  console.log(`        longest frame ${longest.toFixed(0)} ms, heap ${(heap / 1048576).toFixed(0)} MB, first paint ${paint.toFixed(0)} ms`);
}
