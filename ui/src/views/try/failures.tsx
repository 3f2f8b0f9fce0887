// Failures by cause: each with the rows that it hit, a raw answer, and what was wrong with it.
import { count, plural } from "../../lib/format";
import { setParams } from "../../lib/route";
import type { Row } from "../../lib/run";
import type { ItemResult } from "../../lib/types";

interface Cause {
  code: string;
  text: string;
  rows: Row[];
}

function causeOf(result: ItemResult): { code: string; text: string } {
  const errors = result.error?.errors ?? result.errors ?? [];
  const code = result.error?.code ?? result.status;
  const first = errors[0];
  const text = first ? `${first.pointer || "the answer"}: ${first.message}` : (result.error?.detail ?? result.status);
  return { code, text };
}

/** Returns a sentence that equal failures share: numbers and quoted words differ from row to row. */
function shared(text: string): string {
  return text.replace(/\d+(\.\d+)?/g, "…").replace(/(["`])(?:(?!\1).){1,60}\1/g, "“…”");
}

function causes(rows: Row[]): Cause[] {
  const found = new Map<string, Cause>();
  for (const row of rows) {
    if (!row.result || row.result.status === "succeeded") continue;
    const { code, text } = causeOf(row.result);
    const key = code + shared(text);
    const known = found.get(key) ?? { code, text, rows: [] };
    if (known.text !== text) known.text = shared(text);
    known.rows.push(row);
    found.set(key, known);
  }
  return [...found.values()].sort((left, right) => right.rows.length - left.rows.length);
}

const SHOWN = 5;

export function FailureGroups({ rows }: { rows: Row[] }) {
  const groups = causes(rows);
  if (!groups.length) return null;
  const failed = groups.reduce((sum, group) => sum + group.rows.length, 0);
  return (
    <details class="failures" open={failed === rows.length}>
      <summary>
        {plural(failed, "row")} without a valid answer, by cause
      </summary>
      <ul>
        {groups.slice(0, 12).map((group) => (
          <li key={group.code + group.text}>
            <details>
              <summary>
                <span class="n">{count(group.rows.length)}</span> <code>{group.code}</code> {group.text}
              </summary>
              {group.rows.slice(0, SHOWN).map((row) => (
                <div key={row.index} class="failure">
                  <button type="button" class="quiet" onClick={() => setParams({ row: String(row.index) })}>
                    Row {row.index + 1}
                  </button>
                  <span class="dim">{row.input.text.slice(0, 140)}</span>
                  <pre class="code raw" tabIndex={0} aria-label={`Answer of row ${row.index + 1}`}>
                    {row.result?.error?.raw ?? (row.result?.candidate ? JSON.stringify(row.result.candidate) : row.result?.error?.detail) ?? "no answer"}
                  </pre>
                </div>
              ))}
              {group.rows.length > SHOWN && <p class="dim">and {plural(group.rows.length - SHOWN, "row")} more</p>}
            </details>
          </li>
        ))}
      </ul>
    </details>
  );
}
