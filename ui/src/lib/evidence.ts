// Evidence of the server: what a column or a value of a result has of it.
import type { Evidence, EvidenceStatus, ItemResult, Json } from "./types";

/** Query that asks for the offsets as JavaScript counts. */
export const IN_UTF16 = "offset_unit=utf16";

/** From the surest to the most doubtful. */
const STATUSES: EvidenceStatus[] = ["exact", "normalized", "derived", "fuzzy", "absent"];

/** What each status says, for a reader. */
export const MEANINGS: Record<EvidenceStatus, string> = {
  exact: "stands in the text as it is",
  normalized: "stands in the text in another form",
  fuzzy: "most of its words stand in the text",
  derived: "a choice, which the text need not name",
  absent: "is not stated by the text",
};

export const hasAbsent = (result: ItemResult | undefined): boolean => Boolean(result?.evidence?.some(({ status }) => status === "absent"));

/** Returns the name of the member of the root that a value belongs to; empty for the root itself. */
export function columnOf({ pointer }: Evidence): string {
  return (pointer.split("/")[1] ?? "").replaceAll("~1", "/").replaceAll("~0", "~");
}

/** Returns the value at a JSON Pointer. */
export function valueAt(data: Json | undefined, pointer: string): Json | undefined {
  let value = data;
  for (const part of pointer.split("/").slice(1)) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<string, Json>)[part.replaceAll("~1", "/").replaceAll("~0", "~")];
  }
  return value;
}

/** Returns the most doubtful status of some values; none without values. */
export function worst(evidence: Evidence[]): EvidenceStatus | undefined {
  return evidence.reduce<EvidenceStatus | undefined>((status, leaf) => (!status || STATUSES.indexOf(leaf.status) > STATUSES.indexOf(status) ? leaf.status : status), undefined);
}

/** Says in a sentence what the evidence of some values is. */
export function describe(evidence: Evidence[]): string {
  return evidence
    .map(({ pointer, status, text, from_example }) => `${pointer || "the value"} ${MEANINGS[status]}${text && status !== "exact" ? `: “${text}”` : ""}${from_example ? "; it comes from an example" : ""}`)
    .join("\n");
}
