// Tables as CSV: read from a file, and written with the results beside them.
import { VALUE_COLUMN } from "./files";
import { cell } from "./format";
import type { ItemResult, Json } from "./types";

/** A table read from a CSV file. */
export interface Table {
  header: string[];
  rows: string[][];
}

/** Reads CSV (RFC 4180), separated by the one of `,`, `;` and tab that the first line has most of. Throws if a quote stays open or a row has another length. */
export function parseCsv(text: string): Table {
  const source = text.replace(/^\uFEFF/, "");
  const first = source.slice(0, source.indexOf("\n") + 1 || undefined);
  const separator = [",", ";", "\t"].reduce((best, mark) => (first.split(mark).length > first.split(best).length ? mark : best));
  const { rows, lines } = split(source, separator);
  const [header = [], ...body] = rows;
  body.forEach((row, at) => {
    // Spreadsheets append empty fields.
    while (row.length > header.length && row.at(-1) === "") row.pop();
    if (row.length === header.length) return;
    const name = separator === "\t" ? "a tab" : `\`${separator}\``;
    throw new Error(`line ${lines[at + 1]} has ${row.length} fields, and the header has ${header.length}; a text with ${name} in it has to be in quotes`);
  });
  return { header, rows: body };
}

/** Returns the rows that are not blank, and the line at which each begins. */
function split(source: string, separator: string): { rows: string[][]; lines: number[] } {
  const rows: string[][] = [];
  const lines: number[] = [];
  let row: string[] = [];
  let field = "";
  let openedAt = 0;
  let line = 1;
  let begins = 1;
  const end = () => {
    row.push(field);
    if (row.length > 1 || field.trim()) {
      rows.push(row);
      lines.push(begins);
    }
    row = [];
    field = "";
  };
  for (let at = 0; at < source.length; at++) {
    const char = source[at]!;
    const breaks = char === "\n" || (char === "\r" && source[at + 1] !== "\n");
    if (breaks) line++;
    if (openedAt) {
      if (char !== '"') field += char;
      else if (source[at + 1] === '"') field += source[++at];
      else openedAt = 0;
    } else if (char === '"' && field === "") openedAt = line;
    else if (char === separator) {
      row.push(field);
      field = "";
    } else if (breaks) {
      end();
      begins = line;
    } else if (char !== "\r") field += char;
  }
  if (openedAt) throw new Error(`the quote that opens in line ${openedAt} is never closed; write a quote inside quotes twice`);
  if (field || row.length) end();
  return { rows, lines };
}

/** A row for a file: its text or its row of a table, and its result. */
export interface Exported {
  text?: string;
  row?: string[];
  result: ItemResult;
}

/** Quotes a field. One that a spreadsheet would take for a formula gets a `'` in front, numbers excepted. */
export function field(value: string): string {
  const safe = /^[=+\-@\t\r]/.test(value) && !/^[+-]?\d+([.,]\d+)?%?$/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Returns a line of CSV. */
export const csvLine = (fields: string[]): string => `${fields.map(field).join(",")}\r\n`;

/** Returns the values of a result in the columns of the schema, and what went wrong. */
export function resultFields(result: ItemResult, columns: string[]): string[] {
  const data = (result.data ?? result.candidate ?? {}) as Record<string, Json>;
  const values = columns.map((name) => (name === VALUE_COLUMN && columns.length === 1 && (typeof data !== "object" || data === null || !(name in data)) ? cell(result.data ?? result.candidate) : cell(data?.[name])));
  const error = result.error?.detail ?? result.errors?.map((part) => `${part.pointer}: ${part.message}`).join("; ") ?? "";
  return [...values, result.status, error];
}

/** Writes results as CSV, with a column per property of the schema. A table that the texts come from keeps its columns. */
export function toCsv(rows: Exported[], columns: string[], header?: string[]): string {
  const own = header ?? ["index", "id", "text"];
  const named = [...columns, "status", "error"].map((name) => (own.includes(name) ? `extracted_${name}` : name));
  const body = rows.map(({ text, row, result }) => csvLine([...(header ? (row ?? header.map(() => "")) : [String(result.index), result.id ?? "", text ?? ""]), ...resultFields(result, columns)]));
  return csvLine([...own, ...named]) + body.join("");
}
