// Timeline: one bar per item, with what it waited for, its calls and its end.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { count, duration } from "../lib/format";
import { describe, holders, useLimits, type Holder } from "../lib/limits";
import { href, route, setParams } from "../lib/route";
import { runs } from "../lib/run";
import { JobTimeline, RunTimeline, type Facts, type TimelineItem, type TimelineSource } from "../lib/timeline";
import { Choices, Empty, Panel, ProblemBox, Select, Status } from "../parts/basics";
import { VirtualTable } from "../parts/virtual";
import { ItemDetail } from "./timeline/item_detail";
import { Overview } from "./timeline/overview";

export interface Range {
  from: number;
  to: number;
}

export function TimelineView() {
  const { params } = route.value;
  const job = params.get("job") ?? "";
  const run = runs.value.find((one) => one.id === params.get("run")) ?? (job ? undefined : runs.value[0]);
  const source = useMemo<TimelineSource | undefined>(() => (job ? new JobTimeline(job) : run && new RunTimeline(run)), [job, run]);
  useEffect(() => () => source instanceof JobTimeline && source.close(), [source]);
  return (
    <>
      <div class="intro">
        <h1>Where the time goes</h1>
        <p>One bar per item: waiting, coloured by the limit that held it; calling the model; checking the answer.</p>
      </div>
      <Sources job={job} run={run?.id ?? ""} />
      {source ? (
        <Chart key={job || run?.id} source={source} />
      ) : (
        <Panel title="Timeline">
          <Empty title="Nothing to show yet">
            <p>
              Run something in <a href={href("try")}>Try</a>, or open the timeline of a <a href={href("jobs")}>job</a>.
            </p>
          </Empty>
        </Panel>
      )}
    </>
  );
}

function Sources({ job, run }: { job: string; run: string }) {
  const [id, setId] = useState(job);
  return (
    <form class="sources" onSubmit={(event) => { event.preventDefault(); setParams({ job: id.trim(), run: "", item: "", from: "", to: "" }); }}>
      <Select label="Batch of this page" value={job ? "" : run} options={[["", runs.value.length ? "choose …" : "none yet"], ...runs.value.map((one) => [one.id, `${one.label}, ${new Date(one.startedAt).toLocaleTimeString("en-GB")}`] as const)]} onChange={(value) => setParams({ run: value, job: "", item: "", from: "", to: "" })} />
      <div class="labelled">
        <label for="timeline-job">or a job</label>
        <span class="joined">
          <input id="timeline-job" value={id} placeholder="job_…" onInput={(event) => setId(event.currentTarget.value)} />
          <button type="submit">Open</button>
        </span>
      </div>
    </form>
  );
}

type Only = "all" | "waiting" | "retried" | "repaired" | "failed";

const ONLY: Record<Only, (facts: Facts) => boolean> = {
  all: () => true,
  waiting: (item) => item.state === "waiting" || item.state === "calling",
  retried: (item) => item.attempts > 1,
  repaired: (item) => item.repaired,
  failed: (item) => item.state === "failed" || item.state === "invalid" || item.state === "cancelled",
};

function Chart({ source }: { source: TimelineSource }) {
  const version = source.version.value;
  const limits = useLimits().at(-1)?.limits;
  const holder = limits && source.isRunning() ? holders(limits)[0] : undefined;
  const now = useClock(source);
  const { params } = route.value;
  const only = (params.get("only") ?? "all") as Only;
  const end = Math.max(1, source.endMs());
  const from = Number(params.get("from") ?? 0);
  const to = params.has("to") ? Number(params.get("to")) : end * 1.02;
  const range = { from: Math.min(from, end), to: Math.max(to, from + 1) };
  const follows = !params.has("to");
  const open = Number(params.get("item") ?? NaN);
  const scroller = useRef<HTMLDivElement>(null);

  const shown = useMemo(() => {
    if (only === "all") return undefined;
    const test = ONLY[only] ?? ONLY.all;
    return Array.from({ length: source.count() }, (_, at) => at).filter((at) => test(source.facts(at)));
  }, [only, version, source, only === "waiting" ? now : 0]);
  const total = shown?.length ?? source.count();
  const position = (at: number) => shown?.[at] ?? at;
  const active = Number.isInteger(open) ? (shown ? shown.indexOf(open) : open) : undefined;

  const zoom = (factor: number) => {
    const middle = follows ? range.to : (range.from + range.to) / 2;
    const width = Math.max(5, (range.to - range.from) * factor);
    const left = Math.max(0, follows ? middle - width : middle - width / 2);
    setRange(width >= end ? undefined : { from: left, to: left + width });
  };
  const pan = (part: number) => {
    const width = range.to - range.from;
    const left = Math.max(0, Math.min(end - width * 0.2, range.from + width * part));
    setRange({ from: left, to: left + width });
  };
  const wheel = (event: WheelEvent) => {
    if (event.ctrlKey || event.altKey) {
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8);
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      pan((event.deltaX || event.deltaY) / 800);
    }
  };
  const keys = (event: KeyboardEvent) => {
    const action = { "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "0": () => setRange(undefined), ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2) }[event.key];
    if (!action || event.target instanceof HTMLInputElement) return;
    event.preventDefault();
    action();
  };

  return (
    <Panel title={source.title} class="timeline" aside={<><Holding holder={holder} /><Status value={source.isRunning() ? "running" : "done"} text={`${count(source.count())} items, ${duration(end)}`} /></>}>
      <ProblemBox problem={source.problem()} />
      {source.note() && <p class="dim">{source.note()}</p>}
      <div class="toolbar" onKeyDown={keys}>
        <Choices label="Items" value={only} options={[["all", "All"], ["waiting", "Waiting"], ["retried", "Retried"], ["repaired", "Repaired"], ["failed", "Failed"]] as const} onChange={(value) => setParams({ only: value === "all" ? "" : value })} />
        <span class="group" role="group" aria-label="Zoom and pan: also the keys +, -, 0 and the arrows">
          <button type="button" aria-label="Earlier" onClick={() => pan(-0.3)}>←</button>
          <button type="button" aria-label="Zoom out" onClick={() => zoom(2)}>−</button>
          <button type="button" aria-label="Zoom in" onClick={() => zoom(0.5)}>+</button>
          <button type="button" aria-label="Later" onClick={() => pan(0.3)}>→</button>
          <button type="button" aria-pressed={follows} onClick={() => setRange(undefined)}>{source.isRunning() ? "Follow" : "Fit"}</button>
        </span>
      </div>
      <Legend source={source} version={version} />
      <Overview source={source} end={end} range={range} onSelect={setRange} version={version} />
      <div class={`table-and-row ${active !== undefined ? "has-row" : ""}`} onWheel={wheel} onKeyDown={keys}>
        {total ? (
          <VirtualTable
            count={total}
            rowHeight={30}
            label="Items"
            class="timeline-table"
            columns={2}
            head={<Axis range={range} />}
            active={active}
            scroller={scroller}
            onMove={(at) => setParams({ item: String(position(at)) })}
            row={(at) => <ItemRow key={position(at)} item={source.item(position(at))} at={at} range={range} isOpen={at === active} onOpen={() => setParams({ item: String(position(at)) })} />}
          />
        ) : (
          <Empty title={source.count() ? "No item is like this" : source.isRunning() ? "No item has ended yet" : "No items"} />
        )}
        {Number.isInteger(open) && open < source.count() && <ItemDetail key={`${open} ${source.item(open).state}`} source={source} at={open} />}
      </div>
    </Panel>
  );
}

/** Says what the waiting items wait for now, and until when. */
function Holding({ holder }: { holder: Holder | undefined }) {
  if (!holder) return null;
  return (
    <a class="holding" href={href("limits")}>
      <span class={`swatch wait-${holder.kind}`} aria-hidden="true" /> waiting for {holder.text}
      {holder.retryInMs !== undefined && `, free in ${duration(Math.max(0, holder.retryInMs))}`}
    </a>
  );
}

function setRange(range: Range | undefined): void {
  setParams({ from: range ? String(Math.round(range.from)) : "", to: range ? String(Math.round(range.to)) : "" });
}

/** Lets a running timeline move on, a few times a second. */
function useClock(source: TimelineSource): number {
  const [tick, setTick] = useState(0);
  const running = source.isRunning();
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setTick((tick) => tick + 1), 200);
    return () => clearInterval(timer);
  }, [running]);
  return tick;
}

function Legend({ source, version }: { source: TimelineSource; version: number }) {
  const limits = useMemo(() => {
    const found = new Map<string, string>();
    const step = Math.max(1, Math.floor(source.count() / 400));
    for (let at = 0; at < source.count(); at += step) {
      for (const segment of source.item(at).segments) {
        if (segment.kind === "wait" && segment.toMs - segment.fromMs > 1) found.set(segment.limit ?? "", segment.holder ?? "queue");
      }
    }
    return [...found];
  }, [source, version]);
  return (
    <ul class="legend" aria-label="Colours">
      {limits.map(([limit, kind]) => (
        <li key={limit}>
          <span class={`swatch wait-${kind}`} aria-hidden="true" />
          waiting for {limit ? describe(limit) : "its turn in the queue"}
        </li>
      ))}
      <li><span class="swatch seg-call" aria-hidden="true" />calling</li>
      <li><span class="swatch seg-validate" aria-hidden="true" />checking</li>
      <li><span class="swatch seg-bad" aria-hidden="true" />failed call or answer</li>
    </ul>
  );
}

function Axis({ range }: { range: Range }) {
  const width = range.to - range.from;
  const step = [1, 2, 5].flatMap((part) => [1, 10, 100, 1e3, 1e4, 1e5, 1e6].map((scale) => part * scale)).sort((a, b) => a - b).find((size) => width / size <= 6) ?? width;
  const ticks: number[] = [];
  // A label so near the end would be cut.
  for (let at = Math.ceil(range.from / step) * step; at < range.to - width * 0.06; at += step) ticks.push(at);
  return (
    <div class="tl-row axis" role="row" aria-rowindex={1}>
      <span role="columnheader">Item</span>
      <span role="columnheader" class="tl-track" aria-label={`Time from ${duration(range.from)} to ${duration(range.to)}`}>
        {ticks.map((tick) => (
          <span key={tick} class="tick" style={{ left: `${(100 * (tick - range.from)) / width}%` }}>
            {tick === 0 ? "0" : tick >= 60_000 || step >= 1000 ? duration(tick).replace(".00", "") : `${Math.round(tick)} ms`}
          </span>
        ))}
      </span>
    </div>
  );
}

function ItemRow(props: { item: TimelineItem; at: number; range: Range; isOpen: boolean; onOpen: () => void }) {
  const { item, range } = props;
  const width = range.to - range.from;
  const part = (ms: number) => (100 * (ms - range.from)) / width;
  const last = item.segments.at(-1);
  return (
    <div class={`tl-row row ${props.isOpen ? "open" : ""}`} role="row" aria-rowindex={props.at + 2} onClick={props.onOpen}>
      <span role="rowheader" class="tl-label">
        <button type="button" class="row-open" tabIndex={-1} aria-label={`Open item ${item.index + 1}`}>
          {item.index + 1}
        </button>
        <span class="tl-name">{item.label}</span>
      </span>
      <span role="cell" class="tl-track" aria-label={summary(item)}>
        {item.segments.map((segment, at) => {
          const left = Math.max(0, part(segment.fromMs));
          const right = Math.min(100, part(segment.toMs));
          if (right < 0 || left > 100 || right <= left) return null;
          return <span key={at} class={`seg ${segmentClass(item, segment)}`} style={{ left: `${left}%`, width: `max(1px, ${right - left}%)` }} title={segmentTitle(segment)} />;
        })}
        {last && part(last.toMs) >= 0 && part(last.toMs) <= 100 && (
          <span class="badges" style={part(last.toMs) > 80 ? { right: `${100 - part(last.toMs)}%`, left: "auto" } : { left: `${part(last.toMs)}%` }}>
            {item.attempts > 1 && <span class="badge">{item.attempts}×</span>}
            {item.repaired && <span class="badge">repaired</span>}
            {(item.state === "failed" || item.state === "invalid") && <span class="badge badge-bad">{item.state}</span>}
          </span>
        )}
      </span>
    </div>
  );
}

function segmentClass(item: TimelineItem, segment: TimelineItem["segments"][number]): string {
  if (segment.kind === "wait") return `wait-${segment.holder ?? "queue"}`;
  const isBad = segment.outcome !== undefined && !["valid", "repaired", "succeeded", "answered", "open", "truncated"].includes(segment.outcome);
  if (isBad) return "seg-bad";
  if (segment.kind === "call") return segment.outcome === "open" ? "seg-call seg-open" : "seg-call";
  return item.state === "failed" ? "seg-validate seg-last-bad" : "seg-validate";
}

function segmentTitle(segment: TimelineItem["segments"][number]): string {
  const length = duration(segment.toMs - segment.fromMs);
  if (segment.kind === "wait") return `waited ${length} for ${segment.limit ? describe(segment.limit) : "its turn"}`;
  return segment.kind === "call" ? `call, ${length}${segment.outcome ? `: ${segment.outcome}` : ""}` : `checking, ${length}`;
}

function summary(item: TimelineItem): string {
  return `${item.state}; ${item.segments.filter((segment) => segment.toMs - segment.fromMs > 0.5).map(segmentTitle).join(", ")}`;
}
