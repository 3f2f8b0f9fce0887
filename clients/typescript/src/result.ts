/** Results of many texts. */

import { CancelledItemError, errorOf, type ExtractdError, InvalidResultError } from "./errors.js";
import { type AnySchema, decode } from "./schema-codec.js";
import type { components } from "./schema.js";

/** Result as the server sends it. */
export type WireResult = components["schemas"]["Result"];

/** Result of one of many texts: a value, or the error that the item ended with. */
export type Result<T> = {
  readonly index: number;
  readonly id: string | undefined;
  readonly usage: WireResult["usage"];
  /** Place in the text of each value, with offsets for `text.slice`. Only with the option `grounding`. */
  readonly evidence: WireResult["evidence"];
  /** Result as the server sent it. */
  readonly wire: WireResult;
} & ({ readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: Error });

/** Returns the result of an item from its JSON. */
export async function resultOf<T>(schema: AnySchema<T>, data: string): Promise<Result<T>> {
  const wire = JSON.parse(data) as WireResult;
  const common = { index: wire.index ?? 0, id: wire.id ?? undefined, usage: wire.usage, evidence: wire.evidence, wire };
  const failure = failureOf(wire);
  if (failure) return { ...common, ok: false, error: failure };
  try {
    return { ...common, ok: true, value: await decode(schema, wire.data) };
  } catch (error) {
    return { ...common, ok: false, error: error as Error };
  }
}

/** Returns the value of a result, or throws its error. */
export function valueOf<T>(result: Result<T>): T {
  if (!result.ok) throw result.error;
  return result.value;
}

function failureOf(wire: WireResult): ExtractdError | undefined {
  if (wire.status === "succeeded") return undefined;
  if (wire.status === "failed" && wire.error) return errorOf(wire.error);
  if (wire.status === "invalid") return new InvalidResultError(wire.candidate, wire.errors ?? []);
  return new CancelledItemError("the item was cancelled with its batch");
}
