// The table's columns as a form, with the JSON Schema that it makes beside it. Both can be edited.
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { get, post, problemOf } from "../../lib/api";
import { lineOf, syntaxLine } from "../../lib/json_lines";
import { FIELD_TYPES, PROPOSAL, PROPOSAL_INSTRUCTIONS, toFields, toSchema, type Field, type FieldType } from "../../lib/schema_form";
import type { Page, Problem, SchemaEntry } from "../../lib/types";
import { Panel, ProblemBox } from "../../parts/basics";
import { JsonEditor, type LineError } from "../../parts/json_editor";
import { draft, file, INITIAL, inputs, schema, specOf, update } from "./state";

/** What the server says about the request as it is now. */
export const checked = signal<Problem | undefined>(undefined);

const SAMPLE_TEXTS = 6;
const SAMPLE_CHARS = 600;

/** Asks the server about the schema, examples and rules, with a batch that has no texts and therefore calls no model. */
export function useServerCheck(): void {
  const { schema, examples, rules, model, mode } = draft.value;
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      const built = specOf(draft.peek());
      if (!("spec" in built)) return;
      try {
        await post("/v1/extract/batch", { ...built.spec, inputs: [] }, { signal: abort.signal });
        checked.value = undefined;
      } catch (error) {
        if (!abort.signal.aborted) checked.value = problemOf(error);
      }
    }, 500);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [schema, examples, rules, model, mode]);
}

/** Returns the errors of one JSON field of the request, at their lines. */
export function lineErrors(field: "schema" | "examples" | "rules"): LineError[] {
  const text = draft.value[field];
  if (!text.trim()) return field === "schema" ? [{ line: 1, message: "a schema is needed" }] : [];
  try {
    JSON.parse(text);
  } catch (error) {
    const { message } = error as Error;
    return [{ line: syntaxLine(text, message), message }];
  }
  const prefix = `/${field}`;
  return (checked.value?.errors ?? [])
    .filter(({ pointer }) => pointer === prefix || pointer.startsWith(`${prefix}/`))
    .map(({ pointer, message }) => ({ line: lineOf(text, pointer.slice(prefix.length)), message }));
}

export function SchemaPanel() {
  const fields = toFields(schema.value.value);
  const set = (next: Field[]) => update({ schema: JSON.stringify(toSchema(next, schema.value.value), null, 2) });
  return (
    <Panel title="2. Table" class="schema" aside={<SchemaActions />}>
      <div class="schema-body">
        <FieldForm fields={fields} onChange={set} />
        <JsonEditor label="JSON Schema" value={draft.value.schema} errors={lineErrors("schema")} onChange={(text) => update({ schema: text })} />
      </div>
    </Panel>
  );
}

function SchemaActions() {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const [stored, setStored] = useState<string[]>([]);
  useEffect(() => {
    get<Page<SchemaEntry>>("/v1/schemas")
      .then((page) => setStored(page.data.map((entry) => entry.name)))
      .catch(() => {});
  }, []);

  // Texts of one's own with the columns of the example: the suggestion is the next step.
  const isExample = draft.value.schema === INITIAL.schema && (file.value !== undefined || draft.value.texts !== INITIAL.texts);

  const suggest = async () => {
    setBusy(true);
    setProblem(undefined);
    try {
      const sample = inputs.value.slice(0, SAMPLE_TEXTS).map(({ text }) => text.slice(0, SAMPLE_CHARS));
      const body = { input: sample.join("\n---\n"), schema: PROPOSAL, instructions: PROPOSAL_INSTRUCTIONS, max_attempts: 2, ...(draft.value.model ? { model: draft.value.model } : {}) };
      const { data } = (await (await post("/v1/extract", body)).json()) as { data: { fields: Field[] } };
      const known = new Set<string>();
      const fields = data.fields
        .filter(({ name }) => !known.has(name) && known.add(name))
        // Not required: what a text does not say stays empty, instead of being made up.
        .map((field) => ({ ...field, required: false, choices: [...new Set(field.choices)], type: field.type === "choice" && field.choices.length === 0 ? ("text" as FieldType) : field.type }));
      update({ schema: JSON.stringify(toSchema(fields, {}), null, 2) });
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  };
  const load = async (name: string) => {
    if (!name) return;
    try {
      update({ schema: JSON.stringify(await get(`/v1/schemas/${encodeURIComponent(name)}`), null, 2) });
    } catch (error) {
      setProblem(problemOf(error));
    }
  };
  return (
    <>
      {stored.length > 0 && (
        <select aria-label="Use a registered schema" value="" onChange={(event) => void load(event.currentTarget.value)}>
          <option value="">Registered …</option>
          {stored.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      )}
      {isExample && <span class="dim">These columns are the example's.</span>}
      <button type="button" class={isExample ? "primary" : ""} onClick={suggest} disabled={busy || inputs.value.length === 0} aria-busy={busy}>
        {busy ? "Reading the texts …" : "Suggest from these texts"}
      </button>
      {problem && <ProblemBox problem={problem} />}
    </>
  );
}

function FieldForm({ fields, onChange }: { fields: Field[] | undefined; onChange: (fields: Field[]) => void }) {
  if (!fields) {
    return <p class="form-note">The form shows schemas that are an object with properties. This one can be edited as JSON.</p>;
  }
  const change = (at: number, part: Partial<Field>) => onChange(fields.map((field, index) => (index === at ? { ...field, ...part } : field)));
  const add = () => {
    let number = fields.length + 1;
    while (fields.some((field) => field.name === `field_${number}`)) number++;
    onChange([...fields, { name: `field_${number}`, type: "text", description: "", choices: [], required: true }]);
  };
  return (
    <fieldset class="fields">
      <legend>Columns</legend>
      {fields.map((field, at) => (
        <FieldRow key={at} field={field} onChange={(part) => change(at, part)} onRemove={() => onChange(fields.filter((_, index) => index !== at))} />
      ))}
      <button type="button" class="add" onClick={add}>
        + Column
      </button>
    </fieldset>
  );
}

function FieldRow({ field, onChange, onRemove }: { field: Field; onChange: (part: Partial<Field>) => void; onRemove: () => void }) {
  return (
    <div class="field" role="group" aria-label={`Column ${field.name}`}>
      <div class="field-line">
        <input aria-label="Name" class="field-name" value={field.name} onChange={(event) => onChange({ name: event.currentTarget.value.trim() })} />
        <select aria-label="Kind" value={field.type} onChange={(event) => onChange({ type: event.currentTarget.value as FieldType })}>
          {Object.entries(FIELD_TYPES).map(([type, text]) => (
            <option key={type} value={type} disabled={type === "json" && field.type !== "json"}>
              {text}
            </option>
          ))}
        </select>
        <button type="button" class="icon" aria-label={`Remove column ${field.name}`} onClick={onRemove}>
          ×
        </button>
      </div>
      {field.type === "choice" && (
        <input aria-label="Choices, separated by commas" placeholder="choices, separated by commas" value={field.choices.join(", ")} onChange={(event) => onChange({ choices: event.currentTarget.value.split(",").map((part) => part.trim()).filter(Boolean) })} />
      )}
      {field.type !== "json" && (
        <div class="field-line">
          <input aria-label="Description" placeholder="what it means (optional)" value={field.description} onChange={(event) => onChange({ description: event.currentTarget.value })} />
          <label class="check">
            <input type="checkbox" checked={field.required} onChange={(event) => onChange({ required: event.currentTarget.checked })} />
            required
          </label>
        </div>
      )}
    </div>
  );
}
