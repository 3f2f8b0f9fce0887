// Rows of which only those on screen are in the document.
import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

const OVERSCAN = 6;
/** Room for the head and for a horizontal scrollbar. */
const HEAD_PX = 34;
const BAR_PX = 16;
/** Browsers limit the height of an element; longer lists scroll over several rows per pixel step. */
const MAX_HEIGHT_PX = 8_000_000;

export interface VirtualProps {
  count: number;
  rowHeight: number;
  label: string;
  class?: string;
  columns?: number;
  head?: ComponentChildren;
  /** Row that is kept in view when it changes. */
  active?: number;
  row: (index: number) => ComponentChildren;
  onMove?: (index: number) => void;
  scroller?: RefObject<HTMLDivElement | null>;
}

/** Table whose rows are made as they come into view. The arrow keys, Page Up and Down, Home and End move `active`. */
export function VirtualTable(props: VirtualProps) {
  const own = useRef<HTMLDivElement>(null);
  const box = props.scroller ?? own;
  const [view, setView] = useState({ top: 0, height: 480 });
  const full = props.count * props.rowHeight;
  const height = Math.min(full, MAX_HEIGHT_PX);
  const scale = full > height ? (full - view.height) / (height - view.height) : 1;

  useLayoutEffect(() => {
    const element = box.current!;
    const read = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(read);
    observer.observe(element);
    element.addEventListener("scroll", read, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", read);
    };
  }, []);

  useEffect(() => {
    const element = box.current!;
    if (props.active === undefined || props.active < 0) return;
    const at = props.active * props.rowHeight;
    const top = element.scrollTop * scale;
    const head = props.head ? props.rowHeight : 0;
    if (at < top) element.scrollTop = at / scale;
    else if (at + props.rowHeight + head > top + element.clientHeight) element.scrollTop = (at + props.rowHeight + head - element.clientHeight) / scale;
  }, [props.active]);

  const top = view.top * scale;
  const first = Math.max(0, Math.floor(top / props.rowHeight) - OVERSCAN);
  const last = Math.min(props.count, Math.ceil((top + view.height) / props.rowHeight) + OVERSCAN);
  const offset = first * props.rowHeight - top + view.top;

  const move = (event: KeyboardEvent) => {
    if (!props.onMove || event.target instanceof HTMLInputElement) return;
    const page = Math.max(1, Math.floor(view.height / props.rowHeight) - 1);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -props.count, End: props.count };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    props.onMove(Math.max(0, Math.min(props.count - 1, (props.active ?? -1) + step)));
  };

  return (
    <div
      ref={box}
      class={`virtual ${props.class ?? ""}`}
      role="table"
      aria-label={props.label}
      aria-rowcount={props.count + (props.head ? 1 : 0)}
      aria-colcount={props.columns}
      tabIndex={0}
      style={{ height: `${full + (props.head ? HEAD_PX : 0) + BAR_PX}px` }}
      onKeyDown={move}
    >
      {props.head && (
        <div class="virtual-head" role="rowgroup">
          {props.head}
        </div>
      )}
      <div class="virtual-body" role="rowgroup" style={{ height: `${height}px` }}>
        <div class="virtual-window" role="presentation" style={{ transform: `translateY(${Math.max(0, offset)}px)` }}>
          {Array.from({ length: Math.max(0, last - first) }, (_, at) => props.row(first + at))}
        </div>
      </div>
    </div>
  );
}
