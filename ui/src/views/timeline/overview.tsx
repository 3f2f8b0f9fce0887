// All items in one strip: how many waited and how many were called at each time. Dragging selects a range.
import { useEffect, useRef, useState } from "preact/hooks";
import type { TimelineSource } from "../../lib/timeline";
import type { Range } from "../timeline";

const BINS = 240;
const MAX_SAMPLED = 20_000;

export function Overview(props: { source: TimelineSource; end: number; range: Range; version: number; onSelect: (range: Range | undefined) => void }) {
  const { source, end, range } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [drag, setDrag] = useState<{ from: number; to: number }>();

  const [scheme, setScheme] = useState(0);
  useEffect(() => {
    const redraw = () => setScheme((count) => count + 1);
    const query = matchMedia("(prefers-color-scheme: dark)");
    const observer = new ResizeObserver(redraw);
    observer.observe(canvas.current!);
    query.addEventListener("change", redraw);
    return () => {
      observer.disconnect();
      query.removeEventListener("change", redraw);
    };
  }, []);
  // While it runs, the time goes on without news; twice a second is enough.
  useEffect(() => draw(canvas.current!, source, end), [props.version, source, scheme, Math.round(end / 500)]);

  const place = (event: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
  };
  const finish = () => {
    if (!drag) return;
    const [from, to] = [Math.min(drag.from, drag.to) * end, Math.max(drag.from, drag.to) * end];
    props.onSelect(to - from > end / 100 ? { from, to } : undefined);
    setDrag(undefined);
  };
  const shown = drag ? { from: Math.min(drag.from, drag.to) * end, to: Math.max(drag.from, drag.to) * end } : range;
  return (
    <div class="overview" onPointerDown={(event) => setDrag({ from: place(event), to: place(event) })} onPointerMove={(event) => drag && setDrag({ ...drag, to: place(event) })} onPointerUp={finish} onPointerLeave={finish}>
      <canvas ref={canvas} role="img" aria-label="Items that waited and items that were called, over the whole time. Drag to select a range." />
      <span class="window" style={{ left: `${Math.min(100, (100 * shown.from) / end)}%`, right: `${Math.max(0, 100 - (100 * shown.to) / end)}%` }} aria-hidden="true" />
    </div>
  );
}

function draw(canvas: HTMLCanvasElement, source: TimelineSource, end: number): void {
  const scale = devicePixelRatio || 1;
  const width = (canvas.width = canvas.clientWidth * scale);
  const height = (canvas.height = canvas.clientHeight * scale);
  const context = canvas.getContext("2d");
  if (!context || !width) return;
  // One row of bins for calls, and one for each kind of limit that items waited for.
  const rows = new Map<string, Float64Array>([["call", new Float64Array(BINS + 1)]]);
  const step = Math.max(1, Math.ceil(source.count() / MAX_SAMPLED));
  const bin = (ms: number) => Math.max(0, Math.min(BINS, Math.floor((BINS * ms) / end)));
  for (let at = 0; at < source.count(); at += step) {
    for (const { kind, fromMs, toMs, holder } of source.item(at).segments) {
      if (kind === "validate") continue;
      const name = kind === "call" ? "call" : `wait-${holder ?? "queue"}`;
      const into = rows.get(name) ?? new Float64Array(BINS + 1);
      rows.set(name, into);
      // An item counts in a bin by the share of the bin that it takes, or there would be peaks where one phase follows another.
      for (let slot = bin(fromMs); slot <= bin(toMs); slot++) {
        into[slot]! += step * Math.max(0, Math.min(slot + 1, (BINS * toMs) / end) - Math.max(slot, (BINS * fromMs) / end));
      }
    }
  }
  let top = 1;
  for (let slot = 0; slot <= BINS; slot++) top = Math.max(top, [...rows.values()].reduce((sum, row) => sum + row[slot]!, 0));
  const style = getComputedStyle(canvas);
  for (let slot = 0; slot < BINS; slot++) {
    const x = Math.floor((slot * width) / BINS);
    const next = Math.floor(((slot + 1) * width) / BINS);
    let base = height;
    for (const [name, row] of rows) {
      const size = (height * row[slot]!) / top;
      context.fillStyle = style.getPropertyValue(`--${name}`);
      context.fillRect(x, base - size, next - x, size);
      base -= size;
    }
  }
}
