// Evidence of a result: its text with the places marked, and each value with its status; pointing at either lights up both.
import { useState } from "preact/hooks";
import { MEANINGS, valueAt } from "../lib/evidence";
import { cell } from "../lib/format";
import { marksOf } from "../lib/marks";
import type { Evidence, EvidenceStatus, ItemResult } from "../lib/types";
import { MarkedText } from "./marked";

export function EvidenceBadge({ status, text }: { status: EvidenceStatus; text?: string }) {
  return (
    <span class={`evidence evidence-${status}`} title={MEANINGS[status]}>
      {text ?? status}
    </span>
  );
}

/** Text, if it is known, and values of a result with evidence. `columns` decide the colours. */
export function EvidenceView({ text, result, columns = [] }: { text?: string; result: ItemResult; columns?: string[] }) {
  const [lit, setLit] = useState<string>();
  const marks = text === undefined ? [] : marksOf(text, result, columns);
  return (
    <>
      {text !== undefined && (
        <p class="full-text">
          <MarkedText text={text} marks={marks} isLit={(mark) => mark.pointer === lit} onPoint={(mark) => setLit(mark?.pointer)} />
        </p>
      )}
      <ul class="evidence-list" aria-label="Values" onMouseLeave={() => setLit(undefined)}>
        {result.evidence!.map((leaf) => (
          <EvidenceLine key={leaf.pointer} leaf={leaf} result={result} isLit={leaf.pointer === lit} onPoint={setLit} />
        ))}
      </ul>
    </>
  );
}

function EvidenceLine(props: { leaf: Evidence; result: ItemResult; isLit: boolean; onPoint: (pointer?: string) => void }) {
  const { leaf, result } = props;
  const point = () => props.onPoint(leaf.pointer);
  const value = valueAt(result.data ?? result.candidate, leaf.pointer);
  return (
    <li class={`${props.isLit ? "lit" : ""} ${leaf.status === "absent" ? "is-absent" : ""}`} tabIndex={0} onMouseEnter={point} onFocus={point} onBlur={() => props.onPoint()}>
      <code>{leaf.pointer || "/"}</code>
      <span class="evidence-value">
        {cell(value)}
        {leaf.text && leaf.status !== "exact" && <span class="note">“{leaf.text}”</span>}
      </span>
      <EvidenceBadge status={leaf.status} text={leaf.from_example ? "absent, from an example" : undefined} />
    </li>
  );
}
