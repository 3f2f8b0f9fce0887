// A new job from a file. An NDJSON file is sent as it is, so that a million lines never are in the page's memory.
import { useRef, useState } from "preact/hooks";
import { problemOf, send } from "../../lib/api";
import { parseCsv } from "../../lib/csv";
import { lines, readText, tableInputs, textColumn, type Input } from "../../lib/files";
import { href } from "../../lib/route";
import type { Job, Problem } from "../../lib/types";
import { Panel, ProblemBox } from "../../parts/basics";
import { columns, draft, specOf } from "../try/state";

const TRACED_BYTES = 1024 * 1024;

async function body(file: File): Promise<Blob> {
  const name = file.name.toLowerCase();
  if (/\.(ndjson|jsonl)$/.test(name)) return file;
  const text = await readText(file);
  let inputs: Input[];
  if (/\.(csv|tsv)$/.test(name)) {
    const table = parseCsv(text);
    inputs = tableInputs(table, textColumn(table));
  } else inputs = lines(text);
  return new Blob(inputs.map(({ id, text }) => `${JSON.stringify(id === undefined ? text : { id, input: text })}\n`));
}

async function create(file: File): Promise<Job> {
  const built = specOf(draft.value);
  if (!("spec" in built)) throw new Error(`the ${built.field} field in Try is not JSON: ${built.error}`);
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...built.spec, metadata: { name: file.name.slice(0, 200) } })) {
    query.set(name, typeof value === "string" ? value : JSON.stringify(value));
  }
  const content = await body(file);
  if (content.size <= TRACED_BYTES) query.set("trace", "true");
  const response = await send(`/v1/jobs?${query}`, { method: "POST", headers: { "content-type": "application/x-ndjson" }, body: content });
  return (await response.json()) as Job;
}

export function NewJob() {
  const picker = useRef<HTMLInputElement>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const start = async (file: File | undefined) => {
    if (!file) return;
    setBusy(true);
    setProblem(undefined);
    try {
      location.hash = href("jobs", (await create(file)).id);
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Panel title="New job from a file" class="new-job">
      <div class="new-job-line">
        <p>
          A CSV, NDJSON or text file. The table is the one set in <a href={href("try")}>Try</a>: <strong>{columns.value.join(", ")}</strong>.
        </p>
        <input ref={picker} type="file" hidden accept=".csv,.tsv,.ndjson,.jsonl,.txt" aria-label="File of the new job" onChange={(event) => { void start(event.currentTarget.files?.[0]); event.currentTarget.value = ""; }} />
        <button type="button" class="primary" disabled={busy} aria-busy={busy} onClick={() => picker.current!.click()}>
          {busy ? "Sending …" : "Choose a file …"}
        </button>
      </div>
      <ProblemBox problem={problem} />
    </Panel>
  );
}
