/** Server-Sent Events of a response. */

import { ConnectionBroken } from "./errors.js";

/** One event. */
export interface SseEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: string;
}

/**
 * Yields the events of a response. Cancels the response when the caller leaves the loop. A response that is silent for longer than
 * `silenceMs` counts as broken.
 */
export async function* events(response: Response, silenceMs?: number): AsyncGenerator<SseEvent, void, undefined> {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await (silenceMs === undefined ? reader.read() : within(silenceMs, reader.read()));
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } catch (error) {
    if (error instanceof ConnectionBroken || !isNetworkError(error)) throw error;
    throw new ConnectionBroken(`the connection broke: ${String(error)}`, { cause: error });
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** Waits for a promise, for a limited time. */
async function within<T>(limitMs: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silent = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ConnectionBroken(`nothing came for ${limitMs / 1000} s`)), limitMs);
  });
  try {
    return await Promise.race([promise, silent]);
  } finally {
    clearTimeout(timer);
  }
}

/** Returns true for an error of `fetch` or of a body that was cut off. */
export function isNetworkError(error: unknown): boolean {
  return error instanceof TypeError || (error instanceof DOMException && error.name === "NetworkError");
}

function parse(block: string): SseEvent | undefined {
  let [event, id, data]: [string, string | undefined, string[]] = ["message", undefined, []];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event = value;
    else if (field === "id") id = value;
    else if (field === "data") data.push(value);
  }
  return data.length > 0 ? { event, id, data: data.join("\n") } : undefined;
}
