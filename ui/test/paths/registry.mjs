// Models and Schemas: what can be asked; a schema is stored, corrected, tried and removed.
import assert from "node:assert/strict";
import { shoot } from "../browser.mjs";

export const stack = {
  config: '[models.careful]\nprovider = "sim"\nmodel = "large"\ninput_usd_per_million_tokens = 2\noutput_usd_per_million_tokens = 8\nfallback = ["sim/fast"]\n',
};
export const hash = "#/models";

export async function walk({ page }) {
  await page.getByRole("heading", { name: "careful" }).waitFor();
  await shoot(page, "models");
  await page.locator(".panel", { hasText: "careful" }).getByRole("link", { name: "Try it" }).click();
  await page.waitForFunction(() => [...document.querySelectorAll("select")].some((select) => select.value === "careful"));

  await page.getByRole("link", { name: "Schemas" }).click();
  await page.getByText("No schema is registered yet").waitFor();
  await shoot(page, "schemas-empty");
  await page.getByRole("link", { name: "New schema" }).click();
  await page.getByLabel("Name").fill("person");
  const editor = page.getByLabel("JSON Schema");
  const good = await editor.inputValue();
  await editor.fill(good.replace('"integer"', '"integre"'));
  await page.getByRole("button", { name: "Store" }).click();
  await page.locator(".line-error").waitFor();
  const line = good.split("\n").findIndex((text) => text.includes('"integer"')) + 1;
  assert.match(await page.locator(".line-error").textContent(), new RegExp(`^Line ${line}\\b`));
  await shoot(page, "schemas-failed");
  await editor.fill(good);
  await page.getByRole("button", { name: "Store" }).click();
  await page.getByRole("link", { name: "person", exact: true }).waitFor();
  await shoot(page, "schemas-done");
  await page.getByRole("link", { name: "Try it" }).click();
  assert.match(await page.getByLabel("JSON Schema").inputValue(), /"Person"/);
  await page.getByRole("link", { name: "Schemas" }).click();
  await page.getByRole("link", { name: "person", exact: true }).click();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByText("No schema is registered yet").waitFor();
}
