// The HTTP API: keys, problems and streams.
import { signal } from "@preact/signals";
import type { Problem } from "./types";

const KEY_ITEM = "extractd-key";

/** Key that is sent with each request, kept for the session of this tab. */
export const apiKey = signal(sessionStorage.getItem(KEY_ITEM) ?? "");
/** True once the server rejected a request for want of a valid key. */
export const keyRequired = signal(false);

/** Sets the key and keeps it until the tab is closed; an empty one is forgotten. */
export function setApiKey(key: string): void {
  apiKey.value = key;
  if (key) sessionStorage.setItem(KEY_ITEM, key);
  else sessionStorage.removeItem(KEY_ITEM);
}

/** A request that failed: with the server's problem, or one made here if the server could not be reached. */
export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail ?? problem.title);
  }
}

/** Returns the problem of anything that was thrown. */
export function problemOf(error: unknown): Problem {
  if (error instanceof ApiError) return error.problem;
  const detail = error instanceof Error ? error.message : String(error);
  return { title: "Request failed", status: 0, code: "page", detail };
}

/** Sends a request with the key; throws an `ApiError` unless the answer is a success. */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (apiKey.value) headers.set("authorization", `Bearer ${apiKey.value}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError({
      title: "No connection",
      status: 0,
      code: "unreachable",
      detail: "the server did not answer; is it running?",
    });
  }
  if (response.ok) return response;
  if (response.status === 401) keyRequired.value = true;
  throw new ApiError(await readProblem(response));
}

async function readProblem(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    return JSON.parse(text) as Problem;
  } catch {
    return {
      title: response.statusText,
      status: response.status,
      code: String(response.status),
      detail: text.slice(0, 500),
    };
  }
}

/** Returns the JSON of a GET request. */
export async function get<T>(path: string, abort?: AbortSignal): Promise<T> {
  return (await send(path, { signal: abort })).json() as Promise<T>;
}

/** Sends a JSON body and returns the response. */
export function post(path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set("content-type", "application/json");
  return send(path, { method: "POST", ...init, headers, body: JSON.stringify(body) });
}

export interface ServerEvent {
  name: string;
  id?: string;
  data: unknown;
}

/** Yields the Server-Sent Events of a response. `fetch` is used in place of `EventSource`, which cannot send a key. */
export async function* events(response: Response): AsyncGenerator<ServerEvent> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event) yield event;
    }
  }
}

function parseEvent(block: string): ServerEvent | undefined {
  let name = "message";
  let id: string | undefined;
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("data:")) data += line.slice(5).trimStart();
    else if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("id:")) id = line.slice(3).trim();
  }
  return data ? { name, id, data: JSON.parse(data) } : undefined;
}
