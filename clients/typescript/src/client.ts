/** Client of a running extractd. */

import { ConnectionBroken, errorOf, errorOfResponse, type Problem, TryLaterError } from "./errors.js";
import { Job, type JobInfo } from "./job.js";
import { type Result, resultOf, valueOf } from "./result.js";
import { type AnySchema, decode, wireSchema } from "./schema-codec.js";
import type { components } from "./schema.js";
import { events, isNetworkError, type SseEvent } from "./sse.js";

type Schemas = components["schemas"];
type Own<Body, Fields extends string> = Omit<Body, "schema" | Fields> & { readonly signal?: AbortSignal };

/** Options of an extraction; see the API document for each. */
export type Options = Own<Schemas["ExtractRequest"], "input" | "stream" | "dry_run">;
/** Options of many extractions. */
export type BatchOptions = Own<Schemas["BatchRequest"], "inputs" | "stream">;
/** Options of a durable job. */
export type JobOptions = Own<Schemas["JobRequest"], "inputs"> & { readonly idempotencyKey?: string };
/** Text, or a text with an ID and metadata, which are returned with its result. */
export type Input = Schemas["BatchInput"];
/** Object that is not complete: every field may be absent. */
export type DeepPartial<T> = T extends (infer Element)[]
  ? DeepPartial<Element>[]
  : T extends object
    ? { [Key in keyof T]?: DeepPartial<T[Key]> }
    : T;

/** Settings of a client. */
export interface ClientOptions {
  /** Default: `http://127.0.0.1:8080`. */
  readonly baseUrl?: string;
  readonly apiKey?: string;
  /** Default: the global `fetch`. */
  readonly fetch?: typeof fetch;
  /** Defaults of every extraction. */
  readonly options?: Omit<Options, "signal">;
}

type Body = Record<string, unknown>;

/** Client of a running extractd. */
export class Extractd {
  readonly #baseUrl: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: typeof fetch;
  readonly #options: Body;

  constructor(settings: ClientOptions = {}) {
    this.#baseUrl = (settings.baseUrl ?? "http://127.0.0.1:8080").replace(/\/+$/, "");
    this.#headers = settings.apiKey ? { authorization: `Bearer ${settings.apiKey}` } : {};
    this.#fetch = settings.fetch ?? globalThis.fetch.bind(globalThis);
    this.#options = { ...settings.options };
  }

  /** Returns the object of this schema in the text. */
  async extract<T>(schema: AnySchema<T>, text: string, options: Options = {}): Promise<T> {
    const { signal, ...fields } = options;
    const response = await this.send("POST", "/v1/extract", this.#body(schema, fields, { input: text }), init(signal));
    return valueOf(await resultOf(schema, await response.text()));
  }

  /** Returns the objects in the order of the texts. Throws the error of the first text that failed. */
  async gather<T>(schema: AnySchema<T>, texts: Iterable<Input>, options: BatchOptions = {}): Promise<T[]> {
    return (await this.gatherSettled(schema, texts, options)).map(valueOf);
  }

  /** Returns the results in the order of the texts, failed ones included. */
  async gatherSettled<T>(schema: AnySchema<T>, texts: Iterable<Input>, options: BatchOptions = {}): Promise<Result<T>[]> {
    const results: Result<T>[] = [];
    for await (const result of this.asCompleted(schema, texts, options)) results[result.index] = result;
    return results;
  }

  /** Yields the results as they complete. Leaving the loop cancels the rest. */
  async *asCompleted<T>(
    schema: AnySchema<T>,
    texts: Iterable<Input>,
    options: BatchOptions = {},
  ): AsyncGenerator<Result<T>, void, undefined> {
    const { signal, ...fields } = options;
    const body = this.#body(schema, fields, { inputs: inputs(texts), stream: true });
    for await (const event of this.#events(withOffsets("/v1/extract/batch", body), body, signal)) {
      if (event.event === "result") yield await resultOf(schema, event.data);
    }
  }

  /** Yields the objects of this schema in the text, each as soon as the model has written it. */
  async *extractIterable<T>(schema: AnySchema<T>, text: string, options: Options = {}): AsyncGenerator<T, void, undefined> {
    const { signal, ...fields } = options;
    const list = listOf(wireSchema(schema));
    const body = this.#body(list, fields, { input: text, stream: "items" });
    let next = 0;
    for await (const event of this.#events("/v1/extract", body, signal)) {
      if (event.event === "item") {
        const item = JSON.parse(event.data) as Schemas["ListItem"];
        // A validation retry sends elements again.
        if (item.index !== next) continue;
        next += 1;
        yield await decode(schema, item.data);
      } else if (event.event === "result") {
        const all = valueOf(await resultOf<unknown>(list, event.data)) as unknown[];
        for (const element of all.slice(next)) yield await decode(schema, element);
      }
    }
  }

  /** Yields the object while the model writes it; fields not yet known are absent. The last one is complete. */
  async *partial<T>(schema: AnySchema<T>, text: string, options: Options = {}): AsyncGenerator<DeepPartial<T>, void, undefined> {
    const { signal, ...fields } = options;
    const body = this.#body(schema, fields, { input: text, stream: true });
    for await (const event of this.#events("/v1/extract", body, signal)) {
      if (event.event === "partial") {
        yield (JSON.parse(event.data) as Schemas["PartialResult"]).data as DeepPartial<T>;
      } else if (event.event === "result") {
        yield valueOf(await resultOf(schema, event.data)) as DeepPartial<T>;
      }
    }
  }

  /** Creates a durable job. Sends the request again if the connection breaks; it creates one job only. */
  async createJob<T>(schema: AnySchema<T>, texts: Iterable<Input>, options: JobOptions = {}): Promise<Job<T>> {
    const { signal, idempotencyKey = crypto.randomUUID(), ...fields } = options;
    const body = this.#body(schema, fields, { inputs: inputs(texts) });
    const headers = { "idempotency-key": idempotencyKey };
    for (const pause of [200, 1_000, 3_000, undefined]) {
      try {
        const response = await this.send("POST", "/v1/jobs", body, { ...init(signal), headers });
        return new Job(this, schema, (await response.json()) as JobInfo);
      } catch (error) {
        const again = error instanceof ConnectionBroken || error instanceof TryLaterError;
        if (!again || pause === undefined) throw error;
        const wait = (error instanceof TryLaterError && error.retryAfterMs) || pause;
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
    throw new Error("unreachable");
  }

  /** Returns the job with this ID, such as one that another process created. */
  async job<T>(schema: AnySchema<T>, id: string): Promise<Job<T>> {
    const response = await this.send("GET", `/v1/jobs/${id}`);
    return new Job(this, schema, (await response.json()) as JobInfo);
  }

  /** Sends a request of the API and returns its successful response. */
  async send(method: string, path: string, body?: Body, request: RequestInit = {}): Promise<Response> {
    const headers: Record<string, string> = { ...this.#headers, ...(request.headers as Record<string, string>) };
    if (body) headers["content-type"] = "application/json";
    let response: Response;
    try {
      const json = body ? { body: JSON.stringify(body) } : {};
      response = await this.#fetch(this.#baseUrl + path, { ...request, ...json, method, headers });
    } catch (error) {
      if (!isNetworkError(error)) throw error;
      throw new ConnectionBroken(`no response from ${this.#baseUrl}: ${String(error)}`, { cause: error });
    }
    if (!response.ok) throw await errorOfResponse(response);
    return response;
  }

  #body(schema: AnySchema<unknown>, fields: Body, own: Body): Body {
    return { ...this.#options, ...fields, ...own, schema: wireSchema(schema) };
  }

  async *#events(path: string, body: Body, signal: AbortSignal | undefined): AsyncGenerator<SseEvent, void, undefined> {
    const response = await this.send("POST", path, body, { ...init(signal), headers: { accept: "text/event-stream" } });
    for await (const event of events(response)) {
      if (event.event === "error") throw errorOf(JSON.parse(event.data) as Problem);
      yield event;
      if (event.event === "done") return;
    }
    throw new ConnectionBroken("the response ended before its `done` event; send the request again");
  }
}

/** Asks for the offsets of evidence as JavaScript counts, so that they fit `text.slice`. */
function withOffsets(path: string, body: Body): string {
  return (body.grounding ?? "off") === "off" ? path : `${path}?offset_unit=utf16`;
}

function init(signal: AbortSignal | undefined): RequestInit {
  return signal ? { signal } : {};
}

function inputs(texts: Iterable<Input>): Input[] {
  if (typeof texts === "string") throw new TypeError("expected a list of texts, got one text; use `extract` for one");
  return [...texts];
}

/** Returns the JSON Schema of a list of elements. Definitions stay at the root, where references expect them. */
function listOf(element: string | Record<string, unknown>): Record<string, unknown> {
  if (typeof element === "string") {
    throw new TypeError("the elements need a schema of their own, not the name of a registered one");
  }
  const { $schema, $defs, definitions, ...items } = element;
  const roots = Object.fromEntries(Object.entries({ $schema, $defs, definitions }).filter(([, value]) => value !== undefined));
  // A reference to the root of the element, as a recursive one has, leads to `items` now.
  const moved = (key: string, value: unknown): unknown =>
    key === "$ref" && typeof value === "string" && /^#(?!\/(\$defs|definitions)\/)/.test(value) ? `#/items${value.slice(1)}` : value;
  return JSON.parse(JSON.stringify({ ...roots, type: "array", items }), moved) as Record<string, unknown>;
}
