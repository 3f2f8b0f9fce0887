// Texts from what was pasted or dropped, and files for the browser to save.
import type { Table } from "./csv";

/** One text, with the identifier that its file gives it. */
export interface Input {
  id?: string;
  text: string;
  /** Row of the table that the text comes from. */
  row?: string[];
}

/** Returns the text of a file: UTF-8, UTF-16 with a byte order mark, or else Windows-1252, as Excel writes it. */
export async function readText(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const mark = (bytes[0]! << 8) | bytes[1]!;
  if (mark === 0xfffe || mark === 0xfeff) return new TextDecoder(mark === 0xfffe ? "utf-16le" : "utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/** Returns the non-blank lines. */
export function lines(text: string): Input[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line) => ({ text: line }));
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
      row,
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

/** Column of results that are no objects. */
export const VALUE_COLUMN = "value";

/** Saves a file through the browser. */
export function save(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
