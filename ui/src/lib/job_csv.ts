// Results of a job, which come as NDJSON, as CSV. They are read twice from the file that the browser keeps, never held as a whole.
import { csvLine, resultFields } from "./csv";
import { VALUE_COLUMN } from "./files";
import type { ItemResult } from "./types";

const PART_CHARS = 1 << 20;

async function* resultsOf(ndjson: Blob): AsyncGenerator<ItemResult> {
  const reader = ndjson.stream().pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    const lines = (rest + read.value).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const result = JSON.parse(line) as ItemResult;
      // The last line is the summary.
      if (result.index !== undefined) yield result;
    }
  }
}

/** Returns the results with a column for each property that any of them has. */
export async function jobCsv(ndjson: Blob): Promise<Blob> {
  const found = new Set<string>();
  for await (const { data, candidate } of resultsOf(ndjson)) {
    const value = data ?? candidate;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) for (const name of Object.keys(value)) found.add(name);
    else if (value !== undefined) found.add(VALUE_COLUMN);
  }
  const columns = [...found];
  const parts: string[] = [];
  let part = csvLine(["index", "id", ...columns, "status", "error"]);
  for await (const result of resultsOf(ndjson)) {
    part += csvLine([String(result.index), result.id ?? "", ...resultFields(result, columns)]);
    if (part.length < PART_CHARS) continue;
    parts.push(part);
    part = "";
  }
  return new Blob([...parts, part], { type: "text/csv" });
}
