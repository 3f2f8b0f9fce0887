// Lighthouse on each view, as a phone and as a desktop. Fails if a category is below 95. `node test/lighthouse.mjs FOLDER`: the folder
// of the lighthouse package.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { launch } from "./browser.mjs";
import { startStack } from "./servers.mjs";

const VIEWS = ["try", "race", "timeline", "jobs", "limits", "models", "schemas", "callers"];
const LEAST = 0.95;
const PORT = 9333;

const require = createRequire(pathToFileURL(resolve(process.argv[2], "package.json")));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { default: lighthouse } = await load("lighthouse");
const { default: desktop } = await load("lighthouse/core/config/desktop-config.js");

const stack = await startStack({ upstream: ["--latency-ms", 100] });
const browser = await launch([`--remote-debugging-port=${PORT}`]);
let failed = 0;
try {
  for (const view of VIEWS) {
    for (const [form, config] of [["phone"], ["desktop", desktop]]) {
      const { lhr } = await lighthouse(`${stack.url}/#/${view}`, { port: PORT, output: "json", logLevel: "error" }, config);
      const scores = ["performance", "accessibility", "best-practices"].map((name) => [name, lhr.categories[name].score]);
      console.log(`${view}, ${form}: ${scores.map(([name, score]) => `${name} ${Math.round(100 * score)}`).join(", ")}`);
      if (scores.some(([, score]) => score < LEAST)) failed++;
    }
  }
} finally {
  await browser.close();
  await stack.stop();
}
if (failed) {
  console.error(`${failed} views are below ${100 * LEAST}`);
  process.exit(1);
}
