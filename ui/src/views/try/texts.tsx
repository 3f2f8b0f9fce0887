// The texts: typed or pasted, one per line, or from a dropped file.
import { useRef, useState } from "preact/hooks";
import { parseCsv } from "../../lib/csv";
import { lines, parseNdjson, readText, tableInputs, textColumn } from "../../lib/files";
import { count, plural } from "../../lib/format";
import { Labelled, Panel, Select } from "../../parts/basics";
import { draft, file, inputs, update, type FileTexts } from "./state";

/** Number of texts of a file that are shown. */
const PREVIEWED = 5;

async function readFiles(files: File[]): Promise<FileTexts> {
  const [first] = files;
  if (!first) throw new Error("nothing was dropped");
  if (files.length > 1) {
    const texts = await Promise.all(files.map(async (one) => ({ id: one.name.slice(0, 255), text: await readText(one) })));
    return { name: `${files.length} files`, inputs: texts.filter(({ text }) => text.trim()) };
  }
  const text = await readText(first);
  const kind = first.name.toLowerCase();
  if (/\.(csv|tsv)$/.test(kind)) {
    const table = parseCsv(text);
    if (!table.rows.length) throw new Error("there are no rows below the header");
    const column = textColumn(table);
    return { name: first.name, table, column, inputs: tableInputs(table, column) };
  }
  if (/\.(ndjson|jsonl)$/.test(kind)) return { name: first.name, inputs: parseNdjson(text) };
  return { name: first.name, inputs: lines(text) };
}

export function TextsPanel() {
  const picker = useRef<HTMLInputElement>(null);
  const [isOver, setOver] = useState(false);
  const [error, setError] = useState("");
  const current = file.value;

  const take = async (list: FileList | null | undefined) => {
    // The list is emptied with its field.
    const files = [...(list ?? [])];
    if (!files.length) return;
    try {
      file.value = await readFiles(files);
      setError("");
    } catch (cause) {
      setError(`${files[0]!.name}: ${(cause as Error).message}`);
    }
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void take(event.dataTransfer?.files);
  };

  return (
    <Panel
      title="1. Texts"
      class={`texts ${isOver ? "over" : ""}`}
      aside={
        <>
          <span class="dim">{plural(inputs.value.length, "text")}</span>
          <button type="button" class="quiet" onClick={() => picker.current!.click()}>
            Open file …
          </button>
        </>
      }
    >
      <div class="drop" onDragOver={(event) => { event.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)} onDrop={drop}>
        <input ref={picker} type="file" hidden multiple accept=".csv,.tsv,.ndjson,.jsonl,.txt,.md,text/*" aria-label="File with texts" onChange={(event) => { void take(event.currentTarget.files); event.currentTarget.value = ""; }} />
        {current ? (
          <FileSummary current={current} />
        ) : (
          <Labelled label="One text per line" hint="or drop a CSV, NDJSON or text file here">
            {(id) => <textarea id={id} rows={11} value={draft.value.texts} spellcheck={false} onInput={(event) => update({ texts: event.currentTarget.value })} />}
          </Labelled>
        )}
        {error && (
          <p class="problem" role="alert">
            {error}
          </p>
        )}
      </div>
    </Panel>
  );
}

function FileSummary({ current }: { current: FileTexts }) {
  const { table } = current;
  const choose = (value: string) => {
    const column = value === "all" ? "all" : Number(value);
    file.value = { ...current, column, inputs: tableInputs(table!, column) };
  };
  return (
    <div class="file">
      <p class="file-name">
        <strong>{current.name}</strong>
        <button type="button" class="quiet" onClick={() => (file.value = undefined)}>
          Remove
        </button>
      </p>
      {table && (
        <Select
          label="Text is in the column"
          value={String(current.column)}
          options={[["all", "all columns, with their names"], ...table.header.map((name, at) => [String(at), name || `column ${at + 1}`] as const)]}
          onChange={choose}
        />
      )}
      <ol class="preview" aria-label="First texts of the file">
        {current.inputs.slice(0, PREVIEWED).map((input, at) => (
          <li key={at}>{input.text.slice(0, 240)}</li>
        ))}
      </ol>
      {current.inputs.length > PREVIEWED && <p class="dim">and {count(current.inputs.length - PREVIEWED)} more</p>}
    </div>
  );
}
