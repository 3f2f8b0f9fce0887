// A real Chromium: pages, screenshots, accessibility, and what must never happen on a page.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = [360, 768, 1440];
const SCHEMES = ["light", "dark"];
const ARTIFACTS = process.env.UI_ARTIFACTS ?? join(import.meta.dirname, "artifacts");

export async function launch(extraArgs = []) {
  const executablePath = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
  if (!executablePath) throw new Error("Chromium is not installed; run scripts/ui-needs.sh, or set CHROMIUM");
  mkdirSync(ARTIFACTS, { recursive: true });
  return chromium.launch({
    executablePath,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", ...extraArgs],
  });
}

/** Opens the page of a server. Anything that the page may never do is collected in `faults`. */
export async function open(browser, url, hash = "") {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, acceptDownloads: true, permissions: ["clipboard-read", "clipboard-write"] });
  // While the page is being worked on: its files as they are on disk, in place of those in the binary.
  if (process.env.UI_DIST) await context.route(`${url}/ui/*`, (route) => route.fulfill({ path: join(process.env.UI_DIST, new URL(route.request().url()).pathname.slice(4)) }));
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // A rejected request is part of what the paths provoke; the browser logs each.
    if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) faults.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !/^(blob|data):/.test(request.url())) faults.push(`request elsewhere: ${request.url()}`);
  });
  await page.goto(`${url}/${hash}`);
  await page.locator("main h1, main h2").first().waitFor();
  return { page, faults, close: () => context.close() };
}

/** Takes the state on screen at each width, light and dark, and checks its accessibility in both. */
export async function shoot(page, name, { axe = true, fullPage = true } = {}) {
  await page.evaluate(() => scrollTo(0, 0));
  for (const scheme of SCHEMES) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: width === 360 ? 780 : 900 });
      await page.waitForTimeout(60);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (overflow > 0) throw new Error(`${name}: the page is ${overflow} px wider than ${width} px`);
      if (axe && width !== 768) await checkAccessibility(page, `${name}, ${scheme}, ${width} px`);
      await page.screenshot({ path: join(ARTIFACTS, `${name}-${scheme}-${width}.png`), fullPage });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
}

async function checkAccessibility(page, name) {
  await page.evaluate(`${AXE}; undefined`);
  const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  if (violations.length) {
    const lines = violations.flatMap(({ id, help, nodes }) => [`${id}: ${help}`, ...nodes.slice(0, 3).map((node) => `    ${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`)]);
    throw new Error(`${name}: ${lines.join("\n  ")}`);
  }
}
