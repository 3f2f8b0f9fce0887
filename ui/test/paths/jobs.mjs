// Jobs: a new one from a file, watched live, cancelled, retried, read, seen on the timeline, deleted.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { shoot } from "../browser.mjs";

export const stack = { upstream: ["--latency-ms", 300, "--errors-500", 0.1, "--invalid", 0.1], config: "[limits]\nmax_concurrency = 8\n[jobs]\nallow_private_webhooks = true\n" };
export const hash = "#/jobs";

const NAMES = ["Miller", "Fisher", "Porter", "Carter", "Mason", "Taylor", "Hunter"];
const people = (total) => Array.from({ length: total }, (_, at) => JSON.stringify({ id: `p${at}`, input: `Bob ${NAMES[at % NAMES.length]} is a ${20 + (at % 60)}-year-old driver` })).join("\n");

export async function walk({ page, url }) {
  await page.getByText("No jobs yet").waitFor();
  await shoot(page, "jobs-empty");
  await create(page, 60);
  await page.locator(".status-completed").first().waitFor({ timeout: 60_000 });
  await create(page, 500);
  await page.locator(".event-list li").first().waitFor();
  await page.waitForTimeout(1500);
  await shoot(page, "job-running", { axe: false });
  await page.getByRole("link", { name: "← All jobs" }).click();
  await page.locator(".job-row").nth(1).waitFor();
  await shoot(page, "jobs-running");
  await page.getByRole("button", { name: "Running", exact: true }).click();
  assert.equal(await page.locator(".job-row").count(), 1);
  await page.locator(".job-row a").first().click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.locator(".status-cancelled").first().waitFor();
  await page.getByRole("button", { name: /^Retry .* unsuccessful/ }).click();
  await page.locator(".panel .status-running").first().waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.locator(".status-cancelled").first().waitFor();

  await page.getByRole("link", { name: "← All jobs" }).click();
  await page.locator(".job-row a").last().click();
  await page.locator(".results-list li").nth(20).waitFor();
  await shoot(page, "job-done");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "NDJSON", exact: true }).click()]);
  assert.equal(readFileSync(await download.path(), "utf8").trim().split("\n").filter((line) => line.includes('"index"')).length, 60);
  const [csv] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV", exact: true }).click()]);
  const rows = readFileSync(await csv.path(), "utf8").trim().split("\r\n");
  assert.equal(rows[0], "index,id,name,age,occupation,status,error");
  assert.equal(rows.length, 61);
  assert.match(rows[1], /^0,p0,Bob Miller,20,driver,succeeded,$/);

  await page.locator(".panel").getByRole("link", { name: "Timeline" }).click();
  await page.locator(".tl-row.row").nth(5).waitFor();
  await page.locator(".tl-row.row").nth(3).click();
  await page.locator(".row-detail .span").first().waitFor();
  await shoot(page, "timeline-job");

  await page.goBack();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete for good?" }).click();
  await page.locator(".job-row").first().waitFor();
  assert.equal(await page.locator(".job-row").count(), 1);
  await webhooks(page, url);
}

/** A job whose webhook arrives, and one whose receiver refuses it. */
async function webhooks(page, url) {
  const receiver = createServer((request, response) => {
    request.resume();
    response.writeHead(request.url === "/good" ? 204 : 503).end();
  });
  receiver.listen(0, "127.0.0.1");
  await once(receiver, "listening");
  receiver.unref();
  const schema = { type: "object", properties: { name: { type: "string" } } };
  for (const path of ["good", "bad"]) {
    const webhook = { url: `http://127.0.0.1:${receiver.address().port}/${path}`, secret: `whsec_${randomBytes(24).toString("base64")}` };
    const body = JSON.stringify({ inputs: ["Bob Mason is a 30-year-old driver"], schema, webhook, metadata: { name: `${path} receiver` } });
    const created = await fetch(`${url}/v1/jobs`, { method: "POST", headers: { "content-type": "application/json" }, body });
    assert.equal(created.status, 202, await created.clone().text());
    const { id } = await created.json();
    await page.goto(`${url}/#/jobs/${id}`);
    const panel = page.locator(".panel", { has: page.getByRole("heading", { name: "Webhook" }) });
    if (path === "good") await panel.getByText("delivered", { exact: true }).waitFor();
    else {
      await panel.getByText("503").first().waitFor();
      await panel.getByText("Next attempt").waitFor();
    }
    await shoot(page, `job-webhook-${path}`);
  }
  await page.goto(`${url}/#/jobs`);
  await page.locator(".job-row", { hasText: "bad receiver" }).getByText(/webhook: \d+ attempts? failed/).waitFor();
  await shoot(page, "jobs-webhooks");
}

async function create(page, total) {
  await page.goto(page.url().replace(/#.*/, "#/jobs"));
  await page.getByLabel("File of the new job").setInputFiles({ name: `people-${total}.ndjson`, mimeType: "application/x-ndjson", buffer: Buffer.from(people(total)) });
  await page.waitForURL(/#\/jobs\/job_/);
}
