// Words of a text that its result repeats. Evidence of the server, where it is sent, will take precedence over the search.
import type { Json } from "./types";

export interface Mark {
  start: number;
  end: number;
  /** Position of the column, which decides the colour. */
  column: number;
}

/** Returns the places at which the text has the values of the columns, in order and without overlaps. */
export function marks(text: string, data: Json | undefined, columns: string[]): Mark[] {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return [];
  const lower = text.toLowerCase();
  const found: Mark[] = [];
  columns.forEach((name, column) => {
    for (const value of leaves(data[name])) {
      const start = place(lower, value.toLowerCase());
      if (start >= 0) found.push({ start, end: start + value.length, column });
    }
  });
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
