// Bodies of the HTTP API, as far as the page reads them.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface FieldError {
  pointer: string;
  message: string;
}

export interface Problem {
  title: string;
  status: number;
  code: string;
  detail?: string;
  errors?: FieldError[];
  raw?: string;
  candidate?: Json;
  attempts?: number;
  request_id?: string;
  upstream_status?: number;
}

export interface Usage {
  input_tokens: number;
  output_tokens: number;
  total_tokens: number;
  cost_usd?: number;
}

export interface Timing {
  queued_ms: number;
  upstream_ms: number;
  total_ms: number;
  /** Time of the end, since the Unix epoch. */
  ended_at_ms?: number;
}

/** One phase of an item, on the clock that starts with the item. Sent for requests with `trace`. */
export interface Span {
  kind: "wait" | "call" | "validate";
  start_ms: number;
  end_ms: number;
  attempt: number;
  /** Limit that held the item, while it waited. */
  limit?: string;
  model?: string;
  /** `valid`, `repaired`, `invalid`, or the code of the error. */
  outcome?: string;
  detail?: string;
  prompt?: string;
  answer?: string;
  errors?: FieldError[];
  usage?: Usage;
}

export interface Trace {
  started_at: string;
  spans: Span[];
}

export type ItemStatus = "succeeded" | "invalid" | "failed" | "cancelled";

export interface ItemResult {
  index: number;
  id?: string;
  status: ItemStatus;
  data?: Json;
  candidate?: Json;
  errors?: FieldError[];
  error?: Problem;
  model?: string;
  attempts?: number;
  cached?: boolean;
  usage?: Usage;
  timing?: Timing;
  repairs?: string[];
  trace?: Trace;
  evidence?: Evidence[];
}

export type EvidenceStatus = "exact" | "normalized" | "fuzzy" | "derived" | "absent";

/** Place of a value in its text. */
export interface Evidence {
  pointer: string;
  status: EvidenceStatus;
  /** In UTF-16 units, for which this page asks. */
  spans: { start: number; end: number }[];
  text: string;
  from_example?: boolean;
}

export interface Progress {
  total: number;
  succeeded: number;
  failed: number;
  invalid: number;
  cancelled: number;
  in_flight: number;
  queued: number;
}

export interface Summary extends Omit<Progress, "in_flight" | "queued"> {
  usage: Usage;
  elapsed_ms: number;
  status?: string;
}

/** Reason why calls to a provider do not go out until a probe succeeds. */
export interface Blocked {
  /** `key_refused`, `access_denied`, `quota_exhausted`, `unknown_model` or `not_found`. */
  reason: string;
  provider: string;
  detail: string;
  since: string;
  retry_in_ms: number;
}

export interface Job {
  id: string;
  status: "queued" | "running" | "completed" | "stopped" | "cancelling" | "cancelled" | "failed";
  counts: Progress;
  rate_per_s: number | null;
  eta_ms: number | null;
  blocked?: Blocked | null;
  waits_for_room?: string | null;
  usage: Usage;
  /** Values of the succeeded items by status of their evidence. */
  grounding?: Record<EvidenceStatus, number>;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  expires_at: string | null;
  error?: Problem;
  metadata?: Record<string, string>;
  webhook?: WebhookDelivery | null;
}

/** Delivery of a job's webhook, once the job has ended. */
export interface WebhookDelivery {
  status: "pending" | "delivered" | "given_up";
  attempts: number;
  last_attempt_at?: string | null;
  /** HTTP status of the last response; none if the last attempt had none. */
  last_status?: number | null;
  last_error?: string | null;
  next_attempt_at?: string | null;
}

export interface Page<T> {
  data: T[];
  has_more: boolean;
  next: string | null;
}

export interface Model {
  id: string;
  provider: string;
  default: boolean;
  modes: string[];
  adaptations?: Adaptation[];
  note?: string;
}

/** Feature that requests to a model leave out, because its provider rejected it. */
export interface Adaptation {
  feature: string;
  mode?: string | null;
  /** Number of schemas that it holds for; all if absent. */
  schemas?: number | null;
  expires_in_s: number;
}

export interface Limit {
  name: string;
  kind: "concurrency" | "requests_per_minute" | "tokens_per_minute" | "queue" | "memory_bytes";
  scope: string;
  limit: number | null;
  in_use: number;
  available: number | null;
  waiting: number;
}

export interface Breaker {
  model: string;
  state: "closed" | "open" | "half_open";
  retry_in_ms?: number;
}

export interface Outage extends Blocked {
  address?: string;
  model?: string | null;
  key?: number | null;
}

/** Limit that holds the first waiting call of a model. */
export interface Hold {
  model: string;
  waiting: number;
  limit: string;
  retry_in_ms?: number;
}

export interface Limits {
  limits: Limit[];
  breakers: Breaker[];
  outages?: Outage[];
  retries: { provider: string; used: number; allowed: number }[];
  budgets: { caller: string; limit_usd: number; spent_usd: number }[];
  cache?: { entries: number; size_bytes: number };
  holds?: Hold[];
}

export interface SchemaVersion {
  hash: string;
  stored_at: string;
  is_current: boolean;
}

export interface SchemaEntry {
  name: string;
  hash: string;
  updated_at: string;
  source: string;
}
