// What the Try view asks for, and the same in the address.
import { computed, effect, signal } from "@preact/signals";
import type { Table } from "../../lib/csv";
import { lines, type Input } from "../../lib/files";
import { pack, route, setParams, unpack } from "../../lib/route";
import type { Order, SpecBody } from "../../lib/run";
import { columnsOf } from "../../lib/schema_form";
import { VALUE_COLUMN } from "../../lib/files";
import type { Json } from "../../lib/types";

/** What becomes of values that the text does not state. */
export type Grounding = "off" | "report" | "drop" | "require";

export interface Draft {
  /** Texts as typed, one per line. Not used while `file` has texts. */
  texts: string;
  schema: string;
  instructions: string;
  /** JSON: an array of `{"input", "output"}`. */
  examples: string;
  /** JSON: an array of `{"expression", "message"}`. */
  rules: string;
  model: string;
  mode: string;
  grounding: Grounding;
  order: Order;
  concurrency: string;
}

export const PEOPLE = [
  "John Smith is a 30-year-old software engineer",
  "Sarah Johnson is a 25-year-old data scientist",
  "Mike Davis is a 35-year-old product manager",
  "Lisa Wilson is a 28-year-old UX designer",
  "Tom Brown is a 32-year-old DevOps engineer",
  "Emma Garcia is a 27-year-old frontend developer",
  "David Lee is a 33-year-old backend developer",
];

export const PERSON = {
  title: "Person",
  type: "object",
  properties: {
    name: { type: "string" },
    age: { type: "integer" },
    occupation: { type: "string" },
  },
  required: ["name", "age", "occupation"],
  additionalProperties: false,
};

export const INITIAL: Draft = {
  texts: PEOPLE.join("\n"),
  schema: JSON.stringify(PERSON, null, 2),
  instructions: "",
  examples: "",
  rules: "",
  model: "",
  mode: "auto",
  grounding: "report",
  order: "completed",
  concurrency: "",
};

export const draft = signal<Draft>(INITIAL);

export interface FileTexts {
  name: string;
  inputs: Input[];
  table?: Table;
  column?: number | "all";
}

/** Texts of a dropped file, which take the place of the typed ones. */
export const file = signal<FileTexts | undefined>(undefined);
/** True if the texts were too long for the address. */
export const addressIsPartial = signal(false);

export const update = (change: Partial<Draft>): void => {
  draft.value = { ...draft.value, ...change };
};

export const inputs = computed<Input[]>(() => file.value?.inputs ?? lines(draft.value.texts));

export interface Parsed {
  value?: Json;
  /** Message of the syntax error. */
  error?: string;
}

export function parse(text: string): Parsed {
  try {
    return { value: JSON.parse(text) as Json };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

export const schema = computed(() => parse(draft.value.schema));
export const columns = computed(() => {
  const names = columnsOf(schema.value.value);
  return names.length ? names : [VALUE_COLUMN];
});

/** Returns the fields of the request beside its inputs, as the API takes them; the first JSON field with a syntax error otherwise. */
export function specOf(from: Draft): { spec: SpecBody } | { field: string; error: string } {
  const spec: SpecBody = {};
  for (const field of ["schema", "examples", "rules"] as const) {
    if (!from[field].trim()) continue;
    const { value, error } = parse(from[field]);
    if (error) return { field, error };
    spec[field] = value;
  }
  if (from.instructions.trim()) spec.instructions = from.instructions.trim();
  if (from.model) spec.model = from.model;
  if (from.mode !== "auto") spec.mode = from.mode;
  if (from.grounding !== "off") spec.grounding = from.grounding;
  if (Number(from.concurrency) >= 1) spec.concurrency = Math.floor(Number(from.concurrency));
  return { spec };
}

const MAX_PACKED = 12_000;
let timer = 0;
let known = "";

/** Reads the draft from the address, and keeps the address up to date from then on. */
export async function connectToAddress(): Promise<void> {
  const packed = route.peek().params.get("s");
  if (packed && packed !== known) {
    const read = await unpack<Partial<Draft>>(packed);
    if (read) draft.value = { ...INITIAL, ...read };
    known = packed;
  }
}

effect(() => {
  const current = draft.value;
  const fromFile = file.value;
  clearTimeout(timer);
  timer = window.setTimeout(() => void writeAddress(current, fromFile), 300);
});

// A view that was left must not lose its address when one comes back to it.
route.subscribe(({ view, params }) => {
  if (view === "try" && !params.has("s") && known) setParams({ s: known });
});

async function writeAddress(current: Draft, fromFile: FileTexts | undefined): Promise<void> {
  const changed = Object.entries(current).filter(([name, value]) => value !== INITIAL[name as keyof Draft]);
  let packed = changed.length ? await pack(Object.fromEntries(changed)) : "";
  addressIsPartial.value = Boolean(fromFile) || packed.length > MAX_PACKED;
  if (packed.length > MAX_PACKED) packed = await pack(Object.fromEntries(changed.filter(([name]) => name !== "texts")));
  if (current !== draft.peek()) return;
  known = packed;
  if (route.peek().view === "try") setParams({ s: packed });
}
