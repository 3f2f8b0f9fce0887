// Schemas: those that requests can name; they can be edited here and taken to Try.
import { useSignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { get, problemOf, send } from "../lib/api";
import { ago } from "../lib/format";
import { lineOf, syntaxLine } from "../lib/json_lines";
import { href, route } from "../lib/route";
import type { Page, Problem, SchemaEntry } from "../lib/types";
import { Empty, Labelled, Panel, ProblemBox } from "../parts/basics";
import { JsonEditor, type LineError } from "../parts/json_editor";
import { Versions } from "./schemas/versions";
import { PERSON, update } from "./try/state";

export function SchemasView() {
  const { id } = route.value;
  const list = useSignal<SchemaEntry[] | undefined>(undefined);
  const problem = useSignal<Problem | undefined>(undefined);
  const read = () =>
    get<Page<SchemaEntry>>("/v1/schemas?limit=1000")
      .then((page) => (list.value = page.data))
      .catch((error) => (problem.value = problemOf(error)));
  useEffect(() => void read(), []);
  return (
    <>
      <div class="intro">
        <h1>Schemas</h1>
        <p>
          Stored under a name, so that a request says <code>"schema": "invoice"</code> in place of the whole schema.
        </p>
      </div>
      <ProblemBox problem={problem.value} />
      <div class="two">
        <Panel title="Registered" aside={<a class="button" href={href("schemas", "new")}>New schema</a>}>
          {list.value?.length === 0 && <Empty title="No schema is registered yet" />}
          <ul class="plain schema-list">
            {list.value?.map((entry) => (
              <li key={entry.name}>
                <a href={href("schemas", entry.name)} aria-current={entry.name === id ? "true" : undefined}>
                  {entry.name}
                </a>
                <span class="dim">
                  {entry.source === "file" ? "from a file" : ago(entry.updated_at, Date.now())} · <code title={entry.hash}>{entry.hash.replace(/^sha256:/, "").slice(0, 8)}</code>
                </span>
              </li>
            ))}
          </ul>
        </Panel>
        {id ? <SchemaEditor key={id} name={id === "new" ? "" : id} entry={list.value?.find((entry) => entry.name === id)} onSaved={read} /> : <Panel title="Schema"><Empty title="Choose a schema, or make a new one" /></Panel>}
      </div>
    </>
  );
}

function SchemaEditor({ name, entry, onSaved }: { name: string; entry?: SchemaEntry; onSaved: () => void }) {
  const [title, setTitle] = useState(name);
  const [text, setText] = useState(name ? "" : JSON.stringify(PERSON, null, 2));
  const [problem, setProblem] = useState<Problem>();
  const [note, setNote] = useState("");
  const [round, setRound] = useState(0);
  const isFixed = entry?.source === "file" || entry?.source === "folder";

  useEffect(() => {
    if (!name) return;
    get(`/v1/schemas/${encodeURIComponent(name)}`)
      .then((schema) => setText(JSON.stringify(schema, null, 2)))
      .catch((error) => setProblem(problemOf(error)));
  }, [name]);

  const save = async () => {
    setNote("");
    setProblem(undefined);
    try {
      const response = await send(`/v1/schemas/${encodeURIComponent(title)}`, { method: "PUT", headers: { "content-type": "application/json" }, body: text });
      setNote(response.status === 201 ? "Stored" : "Replaced");
      setRound((round) => round + 1);
      onSaved();
      if (title !== name) location.hash = href("schemas", title);
    } catch (error) {
      setProblem(problemOf(error));
    }
  };
  const remove = async () => {
    try {
      await send(`/v1/schemas/${encodeURIComponent(name)}`, { method: "DELETE" });
      onSaved();
      location.hash = href("schemas");
    } catch (error) {
      setProblem(problemOf(error));
    }
  };
  return (
    <div class="stack">
      <Panel title={name || "New schema"} aside={note && <span role="status">{note}</span>}>
        {!name && (
          <Labelled label="Name" hint="small letters, digits, - and _">
            {(id) => <input id={id} value={title} pattern="[a-z0-9][a-z0-9_-]*" onInput={(event) => setTitle(event.currentTarget.value.trim())} />}
          </Labelled>
        )}
        <JsonEditor label="JSON Schema" rows={20} value={text} errors={errorsAt(text, problem)} onChange={(next) => { setText(next); setProblem(undefined); setNote(""); }} />
        <ProblemBox problem={problem && !problem.errors?.length ? problem : undefined} />
        {isFixed && <p class="dim">This schema comes from the server's folder of schemas; it is changed there.</p>}
        <div class="actions">
          <button type="button" class="primary" disabled={!title || isFixed} onClick={() => void save()}>
            {name ? "Save" : "Store"}
          </button>
          <a class="button" href={href("try")} onClick={() => update({ schema: text })}>
            Try it
          </a>
          {name && !isFixed && (
            <button type="button" onClick={() => void remove()}>
              Delete
            </button>
          )}
        </div>
      </Panel>
      {name && (
        <Versions
          name={name}
          round={round}
          onRestore={(version, hash) => {
            setText(version);
            setProblem(undefined);
            setNote(`Version ${hash.slice(0, 8)}, not saved yet`);
          }}
        />
      )}
    </div>
  );
}

function errorsAt(text: string, problem: Problem | undefined): LineError[] {
  try {
    if (text) JSON.parse(text);
  } catch (error) {
    const { message } = error as Error;
    return [{ line: syntaxLine(text, message), message }];
  }
  return (problem?.errors ?? []).map(({ pointer, message }) => ({ line: lineOf(text, pointer.replace(/^\/schema(?=\/|$)/, "")), message }));
}
