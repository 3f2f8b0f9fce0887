// Texts from what was pasted or dropped, and results as files.
import { cell } from "./format";
import type { ItemResult, Json } from "./types";

/** One text, with the identifier that its file gives it. */
export interface Input {
  id?: string;
  text: string;
}

/** A table read from a CSV file. */
export interface Table {
  header: string[];
  rows: string[][];
}

/** Returns the non-blank lines. */
export function lines(text: string): Input[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line) => ({ text: line }));
}

/** Reads CSV (RFC 4180), separated by the one of `,`, `;` and tab that the first line has most of. */
export function parseCsv(text: string): Table {
  const source = text.replace(/^\uFEFF/, "");
  const first = source.slice(0, source.indexOf("\n") + 1 || undefined);
  const separator = [",", ";", "\t"].reduce((best, mark) => (first.split(mark).length > first.split(best).length ? mark : best));
  const rows: string[][] = [];
  let row: string[] = [];
  let field = "";
  let quoted = false;
  for (let at = 0; at < source.length; at++) {
    const char = source[at]!;
    if (quoted) {
      if (char !== '"') field += char;
      else if (source[at + 1] === '"') field += source[++at];
      else quoted = false;
    } else if (char === '"' && field === "") quoted = true;
    else if (char === separator) {
      row.push(field);
      field = "";
    } else if (char === "\n" || char === "\r") {
      if (char === "\r" && source[at + 1] === "\n") at++;
      row.push(field);
      if (row.length > 1 || field.trim()) rows.push(row);
      row = [];
      field = "";
    } else field += char;
  }
  if (field || row.length) rows.push([...row, field]);
  const [header = [], ...body] = rows;
  return { header, rows: body };
}

/** Returns the column that most likely has the texts: the one with the longest values. */
export function textColumn(table: Table): number {
  const sample = table.rows.slice(0, 200);
  const lengths = table.header.map((_, column) => sample.reduce((sum, row) => sum + (row[column]?.length ?? 0), 0));
  return lengths.indexOf(Math.max(...lengths));
}

/** Returns a text per row: of one column, or of all columns as `header: value`. */
export function tableInputs(table: Table, column: number | "all"): Input[] {
  const id = table.header.findIndex((name) => /^(id|key|number|nr|ticket)$/i.test(name.trim()));
  return table.rows
    .map((row) => ({
      ...(id >= 0 && row[id] ? { id: row[id].slice(0, 255) } : {}),
      text: column === "all" ? table.header.map((name, at) => `${name}: ${row[at] ?? ""}`).join("\n") : (row[column] ?? ""),
    }))
    .filter((input) => input.text.trim());
}

/** Reads NDJSON: each line a string, an object with `input`, or any other object, which is taken as its JSON. */
export function parseNdjson(text: string): Input[] {
  return text
    .split("\n")
    .filter((line) => line.trim())
    .map((line, at) => {
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch {
        throw new Error(`line ${at + 1} is not JSON`);
      }
      if (typeof value === "string") return { text: value };
      const object = value as { id?: unknown; input?: unknown; text?: unknown };
      const body = object.input ?? object.text;
      return {
        ...(typeof object.id === "string" ? { id: object.id } : {}),
        text: typeof body === "string" ? body : line,
      };
    });
}

/** A row for a file: its text and its result. */
export interface Exported {
  text: string;
  result: ItemResult;
}

const quote = (value: string): string => (/[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);

/** Writes results as CSV, with a column per property of the schema. */
export function toCsv(rows: Exported[], columns: string[]): string {
  const head = ["index", "id", "status", "text", ...columns, "error"];
  const body = rows.map(({ text, result }) => {
    const data = (result.data ?? result.candidate ?? {}) as Record<string, Json>;
    const values = columns.map((name) => (name === VALUE_COLUMN ? cell(data) : cell(data[name])));
    const error = result.error?.detail ?? result.errors?.map((part) => `${part.pointer}: ${part.message}`).join("; ") ?? "";
    return [String(result.index), result.id ?? "", result.status, text, ...values, error].map(quote).join(",");
  });
  return `${[head.map(quote).join(","), ...body].join("\r\n")}\r\n`;
}

/** Column of results that are no objects. */
export const VALUE_COLUMN = "value";

/** Saves a file through the browser. */
export function save(name: string, type: string, content: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
