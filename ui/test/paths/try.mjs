// Try: a newcomer runs the example, brings a CSV file, looks at failures, retries them and takes the results away.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { shoot } from "../browser.mjs";

export const stack = {
  upstream: ["--latency-ms", 500, "--jitter", 400, "--invalid", 0.25, "--errors-500", 0.02, "--seed", 7],
  config: "[models.fast]\nprovider = \"sim\"\ninput_usd_per_million_tokens = 0.15\noutput_usd_per_million_tokens = 0.6\n",
};

const FIRST = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn"];
const LAST = ["Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gorse", "Hazel", "Ivy", "Juniper"];

const TICKETS = [
  "id,customer,message",
  ...Array.from({ length: 40 }, (_, at) => `T-${at},"Smith, Ann","Ann Smith is a ${20 + at}-year-old teacher, and her order ${1000 + at} never came.\nShe asks for her money back."`),
].join("\n");

export async function walk({ page, url }) {
  await shoot(page, "try-empty");

  await page.getByRole("button", { name: "Run a sample of 5" }).click();
  await page.getByRole("button", { name: "Stop" }).waitFor();
  await shoot(page, "try-running", { axe: false });
  await page.locator(".result-table mark", { hasText: "John Smith" }).first().waitFor();
  await page.getByRole("button", { name: /^Run on all/ }).and(page.locator(":enabled")).click();
  await page.locator(".results .status-done").waitFor();
  assert.equal(await page.locator(".result-table .row").count(), 7);

  // The row's text has the words of its values marked, and the address names the row.
  await page.getByRole("button", { name: "Open row 1", exact: true }).click();
  await page.locator(".row-detail mark", { hasText: "John Smith" }).first().waitFor();
  assert.match(page.url(), /row=0/);

  // Pointing at a value lights up its place in the text, and the other way round.
  const mark = page.locator(".row-detail mark", { hasText: "John Smith" });
  const line = page.locator(".evidence-list li", { hasText: "/name" });
  await line.hover();
  await page.locator(".row-detail mark.focus", { hasText: "John Smith" }).waitFor();
  await mark.hover();
  await page.locator(".evidence-list li.lit", { hasText: "/name" }).waitFor();

  await evidence(page);
  await csv(page);
  await failures(page);
  await schemaErrors(page);
  await code(page);
  await addressHoldsTheState(page, url);
}

async function evidence(page) {
  // An example as the only answer that a text without facts can have: the simulated model invents what a schema requires.
  await page.getByLabel("JSON Schema").fill(JSON.stringify({ title: "Person", type: "object", properties: { name: { type: "string" }, age: { type: ["integer", "null"] }, phone: { type: "string", minLength: 1 } }, required: ["name", "age", "phone"], additionalProperties: false }, null, 2));
  await page.getByRole("button", { name: /^Run on all/ }).and(page.locator(":enabled")).click();
  await page.locator(".results .status-done").waitFor();
  await page.locator(".result-table .is-absent").first().waitFor();
  await page.getByRole("button", { name: /^Not in the text/ }).click();
  await page.getByRole("button", { name: "Open row 1", exact: true }).click();
  await page.locator(".row-detail .evidence-absent").first().waitFor();
  await shoot(page, "try-evidence");
  const requested = page.waitForRequest((request) => request.url().includes("/v1/extract/batch?offset_unit=utf16"));
  await page.getByLabel("Values not in the text").selectOption("off");
  await page.getByRole("button", { name: "Run a sample of 5" }).click();
  assert.equal(JSON.parse((await requested).postData()).grounding, undefined);
  await page.locator(".results .status-done").waitFor();
  await page.locator(".result-table .is-absent").first().waitFor({ state: "detached" });
  await page.getByLabel("Values not in the text").selectOption("report");
}

async function csv(page) {
  await page.getByLabel("File with texts").setInputFiles({ name: "tickets.csv", mimeType: "text/csv", buffer: Buffer.from(TICKETS) });
  await page.getByText("40 texts").first().waitFor();
  assert.equal(await page.getByLabel("Text is in the column").inputValue(), "2", "the column with the longest texts");
  await page.getByRole("button", { name: "Suggest from these texts" }).click();
  await page.locator(".field-name").first().waitFor();
  await page.getByRole("button", { name: "Run on all 40 texts" }).and(page.locator(":enabled")).waitFor();
  await page.getByRole("button", { name: "Run a sample of 5" }).click();
  await page.locator(".results .status-done").waitFor();
  // The result keeps the columns of the file.
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("group", { name: "Download" }).getByRole("button", { name: "CSV", exact: true }).click()]);
  const result = readFileSync(await download.path(), "utf8");
  assert.match(result, /^id,customer,message,.*status,error\r\nT-0,"Smith, Ann","Ann Smith is a 20-year-old/);

  for (const [name, content, message] of [
    ["open.csv", 'id,message\n1,"never closed\n2,fine\n', /open\.csv: the quote that opens in line 2 is never closed/],
    ["wide.csv", "id,message\n1,fine\n2,one, two\n", /wide\.csv: line 3 has 3 fields, and the header has 2/],
  ]) {
    await page.getByLabel("File with texts").setInputFiles({ name, mimeType: "text/csv", buffer: Buffer.from(content) });
    await page.locator(".texts .problem", { hasText: message }).waitFor();
  }
  // Excel writes Windows-1252, `;` between fields, and empty fields at the end.
  await page.getByLabel("File with texts").setInputFiles({ name: "excel.csv", mimeType: "text/csv", buffer: Buffer.from("id;message\r\n1;Gr\xfc\xdfe von J\xf6rg, 40;\r\n", "latin1") });
  await page.locator(".preview").getByText("Grüße von Jörg, 40").waitFor();
}

async function failures(page) {
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByLabel("JSON Schema").fill(JSON.stringify({ title: "Person", type: "object", properties: { name: { type: "string" }, age: { type: "integer", minimum: 0 } }, required: ["name", "age"], additionalProperties: false }, null, 2));
  const people = Array.from({ length: 60 }, (_, at) => `${FIRST[at % 6]} ${LAST[Math.floor(at / 6)]} is a ${20 + at}-year-old clerk`);
  await page.getByLabel("One text per line").fill(people.join("\n"));
  await page.getByText("Examples and rules").click();
  await page.getByLabel("Rules").fill('[{"expression": "data.age % 3 != 0", "message": "the age is not a multiple of three"}]');
  await page.getByRole("button", { name: "Run on all 60 texts" }).click();
  await page.locator(".results .status-done").waitFor({ timeout: 40_000 });
  await page.getByText(/without a valid answer, by cause/).click();
  await page.locator(".failures li").first().locator("summary").first().click();
  await page.locator(".failure .raw").first().waitFor();
  await shoot(page, "try-failed");

  await page.getByRole("button", { name: /^Invalid/ }).click();
  const count = Number((await page.getByRole("button", { name: /^Retry these/ }).textContent()).replace(/\D/g, ""));
  assert.ok(count > 0 && count < 60, `${count} of 60 are invalid`);
  await page.locator(".result-table .row").first().click();
  await page.locator(".row-detail").getByText("What was wrong").waitFor();
  await page.getByRole("button", { name: /^Retry these/ }).click();
  await page.locator(".results .status-done").waitFor({ timeout: 40_000 });
  await shoot(page, "try-done");

  for (const [name, expected] of [["CSV", /^index,id,text,name,age,status,error\r\n/], ["NDJSON", /^\{"text":"Ada/], ["JSON", /^\[\n/]]) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("group", { name: "Download" }).getByRole("button", { name, exact: true }).click()]);
    assert.match(readFileSync(await download.path(), "utf8"), expected, name);
  }

  // The keyboard alone: the table takes the focus, and the arrows open its rows.
  await page.locator(".result-table").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  await page.locator(".row-detail h3", { hasText: "Row 2" }).waitFor();
}

async function schemaErrors(page) {
  const schema = page.getByLabel("JSON Schema");
  const good = await schema.inputValue();
  await schema.fill(good.replace('"string"', '"strong"'));
  const error = page.locator(".schema .line-error");
  await error.waitFor();
  const line = good.split("\n").findIndex((text) => text.includes('"string"')) + 1;
  assert.match(await error.textContent(), new RegExp(`^Line ${line}\\b`), "the server's error is at its line");
  await schema.fill(good.slice(0, -1));
  await page.locator(".schema .line-error").waitFor();
  await schema.fill(good);
  await page.locator(".schema .line-error").waitFor({ state: "detached" });
}

async function code(page) {
  await page.getByText("The same as a request").click();
  for (const [language, expected] of [["curl", "curl -N"], ["Python", "urllib.request"], ["TypeScript", "await fetch("]]) {
    await page.getByRole("button", { name: language, exact: true }).click();
    assert.ok((await page.getByLabel("Request", { exact: true }).textContent()).includes(expected), language);
  }
  await page.getByRole("button", { name: "Copy", exact: true }).click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /await fetch\(/);
}

async function addressHoldsTheState(page, url) {
  await page.getByLabel("Instructions").fill("Only clerks, please.");
  await page.waitForFunction(() => location.hash.includes("s="));
  await page.waitForTimeout(600);
  const address = page.url();
  const copy = await page.context().newPage();
  await copy.goto("about:blank");
  await copy.goto(address);
  await copy.waitForFunction(() => document.querySelector("textarea[placeholder^=Amounts]")?.value === "Only clerks, please.");
  assert.ok(address.startsWith(url));
  await copy.close();
}
