// Places of a text that its result states: from the evidence of the server, or else the words that the result repeats.
import { columnOf } from "./evidence";
import type { ItemResult, Json } from "./types";

export interface Mark {
  start: number;
  end: number;
  /** Position of the column, which decides the colour. */
  column: number;
  /** JSON Pointer of the value; absent for a word that was only searched for. */
  pointer?: string;
}

/** Returns the places of a result's values in its text, in order and without overlaps. */
export function marksOf(text: string, result: ItemResult | undefined, columns: string[]): Mark[] {
  if (!result?.evidence) return marks(text, result?.data ?? result?.candidate, columns);
  const found = result.evidence.flatMap((leaf) => {
    // A result that is no object has one column.
    const column = Math.max(0, columns.indexOf(columnOf(leaf)));
    return leaf.spans.map(({ start, end }) => ({ start, end, column, pointer: leaf.pointer }));
  });
  return inOrder(found);
}

/** Returns the places at which the text has the values of the columns, in order and without overlaps. */
function marks(text: string, data: Json | undefined, columns: string[]): Mark[] {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return [];
  const lower = text.toLowerCase();
  const found: Mark[] = [];
  columns.forEach((name, column) => {
    for (const value of leaves(data[name])) {
      const start = place(lower, value.toLowerCase());
      if (start >= 0) found.push({ start, end: start + value.length, column });
    }
  });
  return inOrder(found);
}

function inOrder(found: Mark[]): Mark[] {
  found.sort((left, right) => left.start - right.start || right.end - left.end);
  let end = 0;
  return found.filter((mark) => {
    const fits = mark.start >= end;
    if (fits) end = mark.end;
    return fits;
  });
}

function leaves(value: Json | undefined): string[] {
  if (typeof value === "string") return value.trim() ? [value.trim()] : [];
  if (typeof value === "number") return [String(value)];
  if (value && typeof value === "object") return Object.values(value).flatMap(leaves);
  return [];
}

/** Returns where a value stands as a word of its own; -1 if nowhere. */
function place(text: string, value: string): number {
  const isWord = (char: string | undefined) => char !== undefined && /[\p{L}\p{N}]/u.test(char);
  for (let at = text.indexOf(value); at >= 0; at = text.indexOf(value, at + 1)) {
    if (!isWord(text[at - 1]) && !isWord(text[at + value.length])) return at;
  }
  return -1;
}
