// Runs each path of a person through the page in a real Chromium. `node test/run.mjs [NAME …]` runs some of them.
import { launch, open } from "./browser.mjs";
import { startStack } from "./servers.mjs";

const PATHS = ["try", "race", "timeline", "jobs", "limits", "outage", "registry", "keys", "scale"];

const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !PATHS.includes(name));
if (unknown.length) throw new Error(`no path is called ${unknown.join(", ")}; there are ${PATHS.join(", ")}`);

const browser = await launch();
let failed = 0;
for (const name of chosen.length ? chosen : PATHS) {
  const path = await import(`./paths/${name}.mjs`);
  const began = performance.now();
  const stack = await startStack(path.stack);
  const { page, faults, close } = await open(browser, stack.url, path.hash);
  page.setDefaultTimeout(15_000);
  try {
    await path.walk({ page, url: stack.url, browser, stack });
    if (faults.length) throw new Error(`the page did what it must not:\n  ${faults.join("\n  ")}`);
    console.log(`ok      ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    console.error(`FAILED  ${name}: ${error.stack ?? error}`);
    await page.screenshot({ path: new URL(`./artifacts/failed-${name}.png`, import.meta.url).pathname, fullPage: true }).catch(() => {});
    if (faults.length) console.error(`  ${faults.join("\n  ")}`);
  } finally {
    await close();
    await stack.stop();
  }
}
await browser.close();
if (failed) process.exit(1);
