/** Durable jobs, followed across broken connections. */

import type { Extractd } from "./client.js";
import { ConnectionBroken, TryLaterError } from "./errors.js";
import { type Result, resultOf } from "./result.js";
import type { AnySchema } from "./schema-codec.js";
import type { components } from "./schema.js";
import { events } from "./sse.js";

/** State of a job as the server sends it. */
export type JobInfo = components["schemas"]["Job"];

/** Options of following a job. */
export interface FollowOptions {
  /** Number of the event to continue after. Default: 0, all events. */
  readonly after?: number;
  /** Maximum time without an event for which to reconnect, in milliseconds. Default: 300,000. */
  readonly reconnectForMs?: number;
  /** Time without a byte after which a connection counts as broken, in milliseconds. Default: 60,000. The server sends one at least every 15,000. */
  readonly silenceMs?: number;
  readonly signal?: AbortSignal;
}

/** Durable job. `info` is its state when it was last read. */
export class Job<T> {
  /** Number of the last event read. Store it, to continue with `results({ after })` in another process. */
  lastEvent = 0;

  constructor(
    private readonly client: Extractd,
    private readonly schema: AnySchema<T>,
    public info: JobInfo,
  ) {}

  get id(): string {
    return this.info.id;
  }

  /** Reads and returns the job's state. */
  refresh(): Promise<JobInfo> {
    return this.call("GET", "");
  }

  /** Cancels the items that have not ended; recorded results are kept. */
  cancel(): Promise<JobInfo> {
    return this.call("POST", "/cancel");
  }

  /** Runs the failed, invalid and cancelled items again. */
  retry(): Promise<JobInfo> {
    return this.call("POST", "/retry");
  }

  /** Deletes the job, which must have ended. */
  async delete(): Promise<void> {
    await this.client.send("DELETE", `/v1/jobs/${this.id}`);
  }

  /** Waits until the job has ended, and returns its state. */
  async wait(options: FollowOptions = {}): Promise<JobInfo> {
    for await (const _ of this.results({ after: this.lastEvent, ...options }));
    return this.refresh();
  }

  /**
   * Yields the results as they complete, each exactly once, until the job has ended. Reconnects after the last event when the
   * connection breaks or the server restarts.
   */
  async *results(options: FollowOptions = {}): AsyncGenerator<Result<T>, void, undefined> {
    this.lastEvent = options.after ?? 0;
    let waited = 0;
    for (;;) {
      try {
        for await (const event of this.follow(options)) {
          waited = 0;
          if (event.event === "result") yield await resultOf(this.schema, event.data);
        }
        return;
      } catch (error) {
        if (!(error instanceof ConnectionBroken || error instanceof TryLaterError)) throw error;
        const pause = Math.min(2_000, 200 + waited / 4);
        waited += pause;
        if (waited > (options.reconnectForMs ?? 300_000)) throw error;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }

  /** Yields the events after the last one read. Ends without any if none follow. */
  private async *follow(options: FollowOptions) {
    const silenceMs = options.silenceMs ?? 60_000;
    const connecting = new AbortController();
    const stop = () => connecting.abort(options.signal?.reason);
    if (options.signal?.aborted) stop();
    options.signal?.addEventListener("abort", stop);
    try {
      const silent = () => connecting.abort(new ConnectionBroken(`no response for ${silenceMs / 1000} s`));
      const timer = setTimeout(silent, silenceMs);
      const path = `/v1/jobs/${this.id}/events?offset_unit=utf16`;
      const headers = { accept: "text/event-stream", "last-event-id": String(this.lastEvent) };
      const response = await this.client
        .send("GET", path, undefined, { headers, signal: connecting.signal })
        .finally(() => clearTimeout(timer));
      if (response.status === 204) return;
      yield* this.read(response, silenceMs);
    } finally {
      options.signal?.removeEventListener("abort", stop);
    }
  }

  /** Yields the events of a response up to the last one. */
  private async *read(response: Response, silenceMs: number) {
    for await (const event of events(response, silenceMs)) {
      if (event.id) this.lastEvent = Number(event.id);
      yield event;
      if (event.event === "done") return;
    }
    throw new ConnectionBroken("the job's events ended before `done`");
  }

  private async call(method: string, action: string): Promise<JobInfo> {
    const response = await this.client.send(method, `/v1/jobs/${this.id}${action}`);
    this.info = (await response.json()) as JobInfo;
    return this.info;
  }
}
