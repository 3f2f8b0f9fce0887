// Results of a run: progress, filters, the table, and the row that is open.
import { computed, signal } from "@preact/signals";
import { useRef, useState } from "preact/hooks";
import { toCsv, type Exported } from "../../lib/csv";
import { save } from "../../lib/files";
import { cell, compact, count, dollars, duration } from "../../lib/format";
import { columnOf, describe, hasAbsent, worst } from "../../lib/evidence";
import { marksOf } from "../../lib/marks";
import { href, route, setParams } from "../../lib/route";
import { tally, type Row, type Run, type Tally } from "../../lib/run";
import { Choices, Empty, Meter, Panel, ProblemBox, Status } from "../../parts/basics";
import { Highlighted, MarkedText } from "../../parts/marked";
import { VirtualTable } from "../../parts/virtual";
import { RowDetail } from "./detail";
import { FailureGroups } from "./failures";
import { columns } from "./state";

export type Filter = "all" | "failed" | "invalid" | "repaired" | "retried" | "absent" | "waiting";

const TESTS: Record<Filter, (row: Row) => boolean> = {
  all: () => true,
  failed: ({ result }) => result?.status === "failed" || result?.status === "cancelled",
  invalid: ({ result }) => result?.status === "invalid",
  repaired: ({ result }) => Boolean(result?.repairs?.length),
  retried: ({ result }) => (result?.attempts ?? 0) > 1,
  absent: ({ result }) => hasAbsent(result),
  waiting: ({ result }) => !result,
};

/** Run that the table shows. */
export const shown = signal<Run | undefined>(undefined);

const filter = computed<Filter>(() => {
  const value = route.value.params.get("filter") ?? "";
  return value in TESTS ? (value as Filter) : "all";
});

export function Results() {
  const run = shown.value;
  if (!run) {
    return (
      <Panel title="Results" class="results">
        <Empty title="Nothing has run yet">
          <p>Run a sample of five first. Each row appears the moment its answer is there and has been checked against the schema.</p>
        </Empty>
      </Panel>
    );
  }
  return <RunResults run={run} />;
}

function RunResults({ run }: { run: Run }) {
  run.version.value;
  const sum = tally(run.rows);
  const rows = filter.value === "all" ? run.rows : run.rows.filter(TESTS[filter.value]);
  const open = Number(route.value.params.get("row") ?? NaN);
  const openRow = Number.isInteger(open) ? run.rows[open] : undefined;
  const cellsOf = columns.value;
  return (
    <Panel title="Results" class="results" aside={<RunHead run={run} sum={sum} />}>
      <RunProgress run={run} sum={sum} />
      <ProblemBox problem={run.problem} onRetry={() => void run.start()} />
      <div class="toolbar">
        <Filters sum={sum} total={run.rows.length} />
        <Actions run={run} rows={rows} />
      </div>
      <FailureGroups rows={run.rows} />
      <div class={`table-and-row ${openRow ? "has-row" : ""}`}>
        {rows.length ? (
          <ResultTable rows={rows} columns={cellsOf} open={openRow?.index} />
        ) : (
          <Empty title="No row is like this">
            <button type="button" onClick={() => setParams({ filter: "" })}>
              Show all rows
            </button>
          </Empty>
        )}
        {openRow && <RowDetail key={openRow.index} row={openRow} columns={cellsOf} />}
      </div>
    </Panel>
  );
}

function RunHead({ run, sum }: { run: Run; sum: Tally }) {
  return (
    <>
      <Status value={run.status} text={run.status === "running" ? `${count(sum.done)} of ${count(run.rows.length)}` : run.status} />
      <span class="dim">{duration(run.tookMs())}</span>
      {sum.tokens > 0 && <span class="dim">{compact(sum.tokens)} tokens</span>}
      {sum.cost !== undefined && <span class="dim">{dollars(sum.cost)}</span>}
      <a href={href("timeline", undefined, { run: run.id })}>Timeline</a>
      {run.status === "running" && (
        <button type="button" onClick={() => run.stop()}>
          Stop
        </button>
      )}
    </>
  );
}

function RunProgress({ run, sum }: { run: Run; sum: Tally }) {
  const holder = run.held.at(-1)?.holder;
  return (
    <div class="run-progress">
      <Meter
        label="Finished texts"
        value={sum.done}
        max={run.rows.length}
        parts={[
          ["ok", sum.succeeded],
          ["warn", sum.invalid],
          ["bad", sum.failed + sum.cancelled],
        ]}
      />
      <p class="held" aria-live="polite">
        {run.status === "running" && holder ? (
          <>
            <span class={`swatch wait-${holder.kind}`} aria-hidden="true" /> Waiting for {holder.text}
            {holder.retryInMs !== undefined && `, another ${duration(holder.retryInMs)}`}. <a href={href("limits")}>See the limits</a>
          </>
        ) : (
          " "
        )}
      </p>
    </div>
  );
}

function Filters({ sum, total }: { sum: Tally; total: number }) {
  const label = (text: string, value: number) => (
    <>
      {text} <span class="n">{compact(value)}</span>
    </>
  );
  return (
    <Choices
      label="Filter"
      value={filter.value}
      options={[
        ["all", label("All", total)],
        ["failed", label("Failed", sum.failed + sum.cancelled)],
        ["invalid", label("Invalid", sum.invalid)],
        ["repaired", label("Repaired", sum.repaired)],
        ["retried", label("Retried", sum.retried)],
        ["absent", label("Not in the text", sum.absent)],
      ] as const}
      onChange={(value) => setParams({ filter: value === "all" ? "" : value })}
    />
  );
}

function Actions({ run, rows }: { run: Run; rows: Row[] }) {
  const done = () => rows.filter((row) => row.result).map((row): Exported => ({ text: row.input.text, row: row.input.row, result: row.result! }));
  const name = `extractd-${run.id}`;
  const json = () => done().map(({ text, result }) => ({ text, ...result }));
  const retry = () => {
    const again = rows.filter((row) => row.result);
    setParams({ filter: "" });
    void run.start(again);
  };
  return (
    <div class="actions">
      <button type="button" disabled={run.status === "running" || rows.length === 0} onClick={retry}>
        {filter.value === "all" ? "Run again" : `Retry these ${count(rows.length)}`}
      </button>
      <span class="group" role="group" aria-label="Download">
        <button type="button" onClick={() => save(`${name}.csv`, new Blob([toCsv(done(), columns.value, run.header)], { type: "text/csv" }))}>
          CSV
        </button>
        <button type="button" onClick={() => save(`${name}.ndjson`, new Blob(json().map((row) => `${JSON.stringify(row)}\n`), { type: "application/x-ndjson" }))}>
          NDJSON
        </button>
        <button type="button" onClick={() => save(`${name}.json`, new Blob([JSON.stringify(json(), null, 2)], { type: "application/json" }))}>
          JSON
        </button>
      </span>
    </div>
  );
}

function ResultTable(props: { rows: Row[]; columns: string[]; open?: number }) {
  const scroller = useRef<HTMLDivElement>(null);
  const template = { "--columns": String(props.columns.length) };
  const active = props.open === undefined ? undefined : props.rows.findIndex((row) => row.index === props.open);
  const open = (index: number) => setParams({ row: String(props.rows[index]!.index) });
  const head = (
    <div class="tr" role="row" aria-rowindex={1} style={template}>
      {["#", "Status", "Text", ...props.columns].map((name, at) => (
        <span key={at} role="columnheader" class={at > 2 ? `col col-${(at - 3) % 6}` : ""}>
          {name}
        </span>
      ))}
    </div>
  );
  return (
    <VirtualTable
      count={props.rows.length}
      rowHeight={44}
      label="Results"
      class="result-table"
      columns={props.columns.length + 3}
      head={head}
      active={active}
      scroller={scroller}
      onMove={open}
      row={(at) => <ResultRow key={props.rows[at]!.index} row={props.rows[at]!} at={at} columns={props.columns} template={template} isOpen={at === active} onOpen={() => open(at)} />}
    />
  );
}

function ResultRow(props: { row: Row; at: number; columns: string[]; template: Record<string, string>; isOpen: boolean; onOpen: () => void }) {
  const { row, columns } = props;
  const { result } = row;
  const data = result?.data ?? result?.candidate;
  const [lit, setLit] = useState<number>();
  const found = marksOf(row.input.text, result, columns);
  const marked = new Set(found.map((mark) => mark.column));
  const evidenceOf = (name: string) => result?.evidence?.filter((leaf) => columns.length === 1 || columnOf(leaf) === name) ?? [];
  return (
    <div class={`tr row ${props.isOpen ? "open" : ""}`} role="row" aria-rowindex={props.at + 2} style={props.template} onClick={props.onOpen}>
      <span role="cell">
        <button type="button" class="row-open" tabIndex={-1} aria-label={`Open row ${row.index + 1}`} aria-expanded={props.isOpen}>
          {row.index + 1}
        </button>
      </span>
      <span role="cell">
        <RowStatus row={row} />
      </span>
      <span role="cell" class="text-cell">
        <MarkedText text={row.input.text} marks={found} isLit={(mark) => mark.column === lit} onPoint={(mark) => setLit(mark?.column)} />
      </span>
      {result?.error ? (
        <span role="cell" aria-colspan={columns.length} class="value cell-error" title={result.error.detail}>
          {result.error.detail ?? result.error.title}
        </span>
      ) : (
        columns.map((name, column) => {
          const value = columns.length === 1 && name === "value" && (typeof data !== "object" || data === null || Array.isArray(data)) ? data : (data as Record<string, unknown> | undefined)?.[name];
          const evidence = evidenceOf(name);
          const isAbsent = worst(evidence) === "absent";
          return (
            <span
              key={name}
              role="cell"
              class={`value ${result?.status === "invalid" ? "doubtful" : ""} ${isAbsent ? "is-absent" : ""}`}
              title={describe(evidence) || undefined}
              onMouseEnter={() => setLit(column)}
              onMouseLeave={() => setLit(undefined)}
            >
              <Highlighted on={marked.has(column)} column={column} text={cell(value)} isLit={lit === column} />
              {isAbsent && <span class="visually-hidden">, not in the text</span>}
            </span>
          );
        })
      )}
    </div>
  );
}

function RowStatus({ row }: { row: Row }) {
  const { result } = row;
  if (!result) return <Status value="waiting" text="waiting" />;
  const notes = [result.cached && "cached", (result.attempts ?? 0) > 1 && `${result.attempts}×`, Boolean(result.repairs?.length) && "repaired"].filter(Boolean);
  return (
    <>
      <Status value={result.status} text={result.status === "succeeded" ? "ok" : result.status} />
      {notes.length > 0 && <span class="note">{notes.join(" ")}</span>}
    </>
  );
}
