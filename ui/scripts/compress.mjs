// Adds the libraries' notice, writes a gzip variant beside each built file, and fails if they exceed the page's budget together.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const DIST = new URL("../dist/", import.meta.url);
const BUDGET_BYTES = 200 * 1024;

// The bundler drops comments, and the licence of the libraries asks for this one.
const NOTICE = "/*! Contains Preact and @preact/signals. Copyright (c) Jason Miller and the Preact team, MIT License: https://github.com/preactjs/preact/blob/main/LICENSE */\n";
const script = new URL("app.js", DIST);
writeFileSync(script, NOTICE + readFileSync(script, "utf8"));

let total = 0;
for (const name of readdirSync(DIST).filter((name) => !name.endsWith(".gz"))) {
  const compressed = gzipSync(readFileSync(new URL(name, DIST)), { level: 9 });
  writeFileSync(new URL(`${name}.gz`, DIST), compressed);
  total += compressed.length;
}
console.log(`${(total / 1024).toFixed(1)} KB compressed`);
if (total > BUDGET_BYTES) {
  console.error(`the page has ${total} bytes compressed, more than ${BUDGET_BYTES}`);
  process.exit(1);
}
