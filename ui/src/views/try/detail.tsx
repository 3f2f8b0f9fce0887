// One row: its text beside its values, its errors and raw answer, and its values as an example for the next run.
import { useState } from "preact/hooks";
import { cell, dollars, duration } from "../../lib/format";
import { marksOf } from "../../lib/marks";
import { setParams } from "../../lib/route";
import type { Row } from "../../lib/run";
import type { ItemResult, Json } from "../../lib/types";
import { Figure, Status } from "../../parts/basics";
import { EvidenceView } from "../../parts/evidence";
import { Highlighted, MarkedText } from "../../parts/marked";
import { draft, parse, update } from "./state";

export function RowDetail({ row, columns }: { row: Row; columns: string[] }) {
  const { result } = row;
  const data = result?.data ?? result?.candidate;
  return (
    <aside class="row-detail" aria-label={`Row ${row.index + 1}`}>
      <header>
        <h3>
          Row {row.index + 1}
          {row.input.id && <span class="dim"> {row.input.id}</span>}
        </h3>
        {result && <Status value={result.status} />}
        <button type="button" class="icon" aria-label="Close the row" onClick={() => setParams({ row: "" })}>
          ×
        </button>
      </header>
      {result?.evidence ? <EvidenceView text={row.input.text} result={result} columns={columns} /> : <RepeatedWords row={row} columns={columns} />}
      {result && <ResultFacts result={result} />}
      {result && data !== undefined && <Correction text={row.input.text} data={data} />}
    </aside>
  );
}

/** Text and values of a result without evidence: words of the text that the result repeats are marked in both. */
function RepeatedWords({ row, columns }: { row: Row; columns: string[] }) {
  const [focus, setFocus] = useState<number>();
  const { result } = row;
  const data = result?.data ?? result?.candidate;
  const found = marksOf(row.input.text, result, columns);
  const places = new Set(found.map((mark) => mark.column));
  const values = (data ?? {}) as Record<string, Json>;
  return (
    <>
      <p class="full-text">
        <MarkedText text={row.input.text} marks={found} isLit={(mark) => mark.column === focus} />
      </p>
      {data !== undefined && (
        <dl class="values" onMouseLeave={() => setFocus(undefined)}>
          {columns.map((name, column) => (
            <div key={name} class="value-line" tabIndex={0} onMouseEnter={() => setFocus(column)} onFocus={() => setFocus(column)} onBlur={() => setFocus(undefined)}>
              <dt>{name}</dt>
              <dd>
                <Highlighted on={places.has(column)} column={column} text={cell(values[name]) || "–"} />
                {!places.has(column) && values[name] !== undefined && <span class="note">not in these words</span>}
              </dd>
            </div>
          ))}
        </dl>
      )}
    </>
  );
}

/** What was wrong, what was repaired, and what it took. */
export function ResultFacts({ result }: { result: ItemResult }) {
  const errors = result.error?.errors ?? result.errors ?? [];
  const { timing, usage } = result;
  return (
    <>
      {result.error && (
        <div class="problem">
          <p>
            <code>{result.error.code}</code> {result.error.detail}
          </p>
        </div>
      )}
      {errors.length > 0 && (
        <>
          <h4>What was wrong</h4>
          <ul class="errors">
            {errors.map((error) => (
              <li key={error.pointer + error.message}>
                <code>{error.pointer || "/"}</code> {error.message}
              </li>
            ))}
          </ul>
        </>
      )}
      {result.error?.raw !== undefined && (
        <>
          <h4>The model's last answer</h4>
          <pre class="code raw" tabIndex={0} aria-label="Raw answer">
            {result.error.raw || "(empty)"}
          </pre>
        </>
      )}
      {result.repairs && result.repairs.length > 0 && (
        <>
          <h4>Repaired</h4>
          <ul class="errors">
            {result.repairs.map((repair) => (
              <li key={repair}>{repair}</li>
            ))}
          </ul>
        </>
      )}
      <dl class="figures">
        {result.model && <Figure label="Model">{result.model}</Figure>}
        {result.attempts !== undefined && <Figure label="Attempts">{result.attempts}</Figure>}
        {timing && <Figure label="Waited">{duration(timing.queued_ms)}</Figure>}
        {timing && <Figure label="In calls">{duration(timing.upstream_ms)}</Figure>}
        {usage && <Figure label="Tokens">{usage.total_tokens}</Figure>}
        {usage?.cost_usd !== undefined && <Figure label="Cost">{dollars(usage.cost_usd)}</Figure>}
      </dl>
    </>
  );
}

/** Lets the values be corrected, and adds them to the examples of the next run. */
function Correction({ text, data }: { text: string; data: Json }) {
  const [value, setValue] = useState(JSON.stringify(data, null, 2));
  const [added, setAdded] = useState(false);
  const { value: output, error } = parse(value);
  const add = () => {
    const known = parse(draft.value.examples || "[]").value;
    update({ examples: JSON.stringify([...(Array.isArray(known) ? known : []), { input: text, output: output! }], null, 2) });
    setAdded(true);
  };
  return (
    <details class="correction">
      <summary>Correct it and use it as an example</summary>
      <textarea class="code" rows={8} aria-label="Corrected values as JSON" spellcheck={false} value={value} aria-invalid={Boolean(error)} onInput={(event) => { setValue(event.currentTarget.value); setAdded(false); }} />
      {error && <p class="field-error">{error}</p>}
      <button type="button" disabled={Boolean(error) || added} onClick={add}>
        {added ? "Added to the examples" : "Add to the examples"}
      </button>
    </details>
  );
}
