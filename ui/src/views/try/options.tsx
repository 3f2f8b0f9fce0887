// What else the request says: instructions, examples, rules, model, mode, order, concurrency.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { get } from "../../lib/api";
import type { Order } from "../../lib/run";
import type { Model } from "../../lib/types";
import { Labelled, Panel, Select } from "../../parts/basics";
import { JsonEditor } from "../../parts/json_editor";
import { lineErrors } from "./schema_panel";
import { draft, update, type Grounding } from "./state";

export const models = signal<Model[]>([]);

const MODES = ["auto", "json_schema", "tools", "json_object", "text"] as const;
const ORDERS = [
  ["completed", "as completed"],
  ["input", "order of the texts, all at the end"],
] as const satisfies readonly (readonly [Order, string])[];

const GROUNDINGS = [
  ["report", "are marked"],
  ["drop", "are removed"],
  ["require", "are asked for again"],
  ["off", "are not looked for"],
] as const satisfies readonly (readonly [Grounding, string])[];

export function OptionsPanel({ aside }: { aside: ComponentChildren }) {
  const current = draft.value;
  useEffect(() => {
    get<{ data: Model[] }>("/v1/models")
      .then((list) => (models.value = list.data))
      .catch(() => {});
  }, []);
  const preset = models.value.find((model) => model.default);
  const used = [current.examples, current.rules].filter((text) => text.trim()).length;
  return (
    <Panel title="3. Run" class="options" aside={aside}>
      <Labelled label="Instructions" hint="optional, in your own words">
        {(id) => <textarea id={id} rows={2} value={current.instructions} placeholder="Amounts are in euros. Take the person who wrote, not the one addressed." onInput={(event) => update({ instructions: event.currentTarget.value })} />}
      </Labelled>
      <div class="option-grid">
        <Select label="Model" value={current.model} options={[["", preset ? `${preset.id} (default)` : "default"], ...models.value.filter((model) => !model.default).map((model) => [model.id, model.id] as const)]} onChange={(model) => update({ model })} />
        <Select label="Order" value={current.order} options={ORDERS} onChange={(order) => update({ order })} />
        <Labelled label="At once" hint="at most">
          {(id) => <input id={id} type="number" min={1} placeholder="no limit" value={current.concurrency} onInput={(event) => update({ concurrency: event.currentTarget.value })} />}
        </Labelled>
        <Select label="Mode" value={current.mode} options={MODES.map((mode) => [mode, mode] as const)} onChange={(mode) => update({ mode })} />
        <Select label="Values not in the text" value={current.grounding} options={GROUNDINGS} onChange={(grounding) => update({ grounding })} />
      </div>
      <details open={used > 0}>
        <summary>Examples and rules{used > 0 && <span class="dim"> ({used} set)</span>}</summary>
        <div class="option-json">
          <JsonEditor label="Examples" rows={6} value={current.examples} errors={lineErrors("examples")} placeholder='[{"input": "…", "output": {…}}]' onChange={(examples) => update({ examples })} />
          <JsonEditor label="Rules" rows={6} value={current.rules} errors={lineErrors("rules")} placeholder={'[{"expression": "data.age >= 0",\n  "message": "age is not negative"}]'} onChange={(rules) => update({ rules })} />
        </div>
      </details>
    </Panel>
  );
}
