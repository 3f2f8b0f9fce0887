// Limits: what holds work up now, and each limit with a minute of history.
import { bytes, compact, count, duration } from "../lib/format";
import { holders, limitsProblem, loweredFrom, useLimits, type Holder, type Sample } from "../lib/limits";
import { outageAdvice, outageText } from "../lib/outages";
import type { Limit, Limits, Outage } from "../lib/types";
import { Empty, Meter, Panel, ProblemBox, Status } from "../parts/basics";
import { Spark } from "../parts/spark";

const KINDS: Record<Limit["kind"], string> = {
  concurrency: "Calls at once",
  requests_per_minute: "Requests per minute",
  tokens_per_minute: "Tokens per minute",
  queue: "Waiting room",
  memory_bytes: "Memory",
};

/** Parts of the memory, by the scope that the server gives them. */
const MEMORY_USES: Record<string, string> = {
  request_bodies: "Memory of request bodies",
  inputs: "Memory of inputs",
  responses: "Memory of responses",
  schemas: "Memory of schemas",
  cache: "Set aside for the result cache",
  process: "Set aside for the process",
};

/** Returns the panel of a limit: the parts of the memory stand with the server's own limits. */
const panelOf = (limit: Limit): string => (limit.kind === "memory_bytes" && limit.scope in MEMORY_USES ? "all" : limit.scope);

const titleOf = (limit: Limit): string => (limit.kind === "memory_bytes" && MEMORY_USES[limit.scope]) || KINDS[limit.kind] || limit.kind.replaceAll("_", " ");

export function LimitsView() {
  const samples = useLimits();
  const now = samples.at(-1)?.limits;
  return (
    <>
      <div class="intro">
        <h1>What holds the work up</h1>
        <p>Every limit of this server as it is now, with its last minute.</p>
      </div>
      <ProblemBox problem={limitsProblem.value} />
      <Verdict limits={now} samples={samples} />
      {now && (
        <>
          <LimitGroups samples={samples} limits={now} />
          <div class="cards">
            <Breakers limits={now} />
            <RetryBudgets limits={now} samples={samples} />
            <CacheCard limits={now} />
          </div>
        </>
      )}
    </>
  );
}

function Verdict({ limits, samples }: { limits: Limits | undefined; samples: Sample[] }) {
  const found = limits ? holders(limits) : [];
  const outages = limits?.outages ?? [];
  const spoken = [...outages.map((outage) => `${outage.provider} ${outageText(outage.reason)}`), ...(found[0] ? [`Waiting for ${found[0].text}`] : [])];
  const waiting = limits?.limits.find((limit) => limit.kind === "queue")?.in_use ?? 0;
  const calls = limits?.limits.find((limit) => limit.kind === "concurrency" && limit.scope === "all");
  return (
    <section class={`verdict ${outages.length ? "broken" : found.length ? "held-up" : "free"}`} aria-label="What holds the work up">
      {/* Spoken only when the limit changes, not with each second that it has left. */}
      <span class="visually-hidden" role="status">
        {spoken.length ? spoken.join(". ") : "Nothing is held up"}
      </span>
      {spoken.length === 0 ? (
        <p class="verdict-line">
          <Status value={limits ? "free" : "waiting"} text={limits ? "Nothing is held up" : "Reading the limits …"} />
          {limits && <span class="dim">{calls && calls.in_use > 0 ? `${count(calls.in_use)} calls in flight, ${count(waiting)} items wait for their turn` : "No call is in flight."}</span>}
        </p>
      ) : (
        <ul>
          {outages.slice(0, 4).map((outage, at) => (
            <OutageLine key={`${outage.provider} ${outage.model} ${outage.key}`} outage={outage} isFirst={at === 0} />
          ))}
          {found.slice(0, 4).map((holder, at) => (
            <HolderLine key={holder.limit} holder={holder} isFirst={at === 0 && outages.length === 0} lowered={loweredFrom(samples, holder.limit)} />
          ))}
        </ul>
      )}
    </section>
  );
}

function OutageLine({ outage, isFirst }: { outage: Outage; isFirst: boolean }) {
  const what = outage.model ? `${outage.provider}/${outage.model}` : outage.key ? `key ${outage.key} of ${outage.provider}` : outage.provider;
  return (
    <li class={`verdict-line ${isFirst ? "first" : ""}`}>
      <span class="verdict-name">
        <span class="swatch fill-bad" aria-hidden="true" />
        <strong>
          No call to {what}: {outage.provider} {outageText(outage.reason)}
        </strong>
      </span>
      <span class="dim">{outage.retry_in_ms > 0 ? `next probe in ${duration(outage.retry_in_ms)}` : "the next call is a probe"}</span>
      <span class="advice">
        “{outage.detail}” {outageAdvice(outage)}
      </span>
    </li>
  );
}

function HolderLine({ holder, isFirst, lowered }: { holder: Holder; isFirst: boolean; lowered: [number, number] | undefined }) {
  const waits = holder.waiting > 0 ? `${count(holder.waiting)} ${holder.waiting === 1 ? "item waits" : "items wait"}` : "";
  return (
    <li class={`verdict-line ${isFirst ? "first" : ""}`}>
      <span class="verdict-name">
        <span class={`swatch wait-${holder.kind}`} aria-hidden="true" />
        <strong>Waiting for {holder.text}</strong>
      </span>
      <span class="dim">
        {[waits, holder.retryInMs !== undefined && `free in ${duration(Math.max(0, holder.retryInMs))}`].filter(Boolean).join(", ")}
      </span>
      <span class="advice">
        {lowered ? `Lowered from ${count(lowered[0])} to ${count(lowered[1])} within the last minute, because calls were rejected. It rises again by itself.` : ADVICE[holder.kind]}
      </span>
    </li>
  );
}

const ADVICE: Record<Holder["kind"], string> = {
  concurrency: "All permits are taken. Raise the concurrency limit if the provider allows it.",
  requests: "The bucket of requests refills steadily. Raise it only if the provider grants more.",
  tokens: "The bucket of tokens refills steadily. Shorter texts or more tokens per minute help.",
  breaker: "So many calls failed that none goes out until a probe succeeds. The log has the failures.",
  pause: "The provider said when it takes calls again; they go out then by themselves.",
  budget: "Too many calls fail to repeat them all at once.",
  trial: "Few calls go to a model before its first answer, so that a wrong key or name costs little.",
  queue: "The server calls others first, in fair turns.",
  batch: "The batch limits itself with `concurrency`.",
};

function LimitGroups({ samples, limits }: { samples: Sample[]; limits: Limits }) {
  const scopes = [...new Set(limits.limits.map(panelOf))].filter((scope) => !scope.startsWith("caller:"));
  if (!scopes.length) return <Empty title="No limits are configured" />;
  return (
    <div class="limit-groups">
      {scopes.map((scope) => (
        <Panel key={scope} title={scope === "all" ? "This server" : scope} class="limit-group">
          <div class="cards">
            {limits.limits
              .filter((limit) => panelOf(limit) === scope)
              .map((limit) => (
                <LimitCard key={limit.name} limit={limit} samples={samples} />
              ))}
          </div>
        </Panel>
      ))}
    </div>
  );
}

export function LimitCard({ limit, samples }: { limit: Limit; samples: Sample[] }) {
  const history = samples.map(({ at, limits }) => ({ at, of: limits.limits.find((other) => other.name === limit.name) }));
  const used = history.map(({ at, of }) => ({ at, value: of?.in_use ?? 0 }));
  const waiting = history.map(({ at, of }) => ({ at, value: of?.waiting ?? 0 }));
  const isFull = limit.waiting > 0 && limit.available === 0;
  const adapted = history.map(({ of }) => of?.limit).filter((value): value is number => typeof value === "number");
  const before = adapted.find((value) => value !== limit.limit);
  const title = titleOf(limit);
  // A part of the memory has no limit of its own.
  const isPart = limit.kind === "memory_bytes" && limit.limit === null;
  const amount = limit.kind === "memory_bytes" ? bytes : compact;
  const unit = limit.kind === "queue" ? "waiting" : "in use";
  return (
    <article class={`card ${isFull ? "full" : ""}`} aria-label={`${title} of ${limit.scope}`}>
      <header>
        <h3>{title}</h3>
        <span class="card-value">
          {amount(limit.in_use)}
          {!isPart && <span class="dim"> / {limit.limit === null ? "no limit" : amount(limit.limit)}</span>}
        </span>
      </header>
      {!isPart && (
        <Meter label={`${title} ${unit}`} value={limit.in_use} max={limit.limit ?? Math.max(1, limit.in_use)} tone={isFull ? "warn" : "accent"} />
      )}
      <Spark values={used} max={limit.limit ?? undefined} label={`${title} ${unit}, last minute`} tone={isFull ? "warn" : "accent"} />
      <p class="card-foot">
        {limit.kind !== "queue" && limit.kind !== "memory_bytes" && limit.limit !== null && (
          <span class={limit.waiting > 0 ? "" : "dim"}>
            {count(limit.waiting)} waiting
            {waiting.some(({ value }) => value > 0) && <span class="dim"> (up to {compact(Math.max(...waiting.map(({ value }) => value)))})</span>}
          </span>
        )}
        {before !== undefined && (
          <span>
            adapted {compact(before)} → {limit.limit === null ? "none" : compact(limit.limit)}
          </span>
        )}
      </p>
    </article>
  );
}

function Breakers({ limits }: { limits: Limits }) {
  return (
    <article class="card wide-card" aria-label="Circuit breakers">
      <header>
        <h3>Circuit breakers</h3>
      </header>
      {limits.breakers.length === 0 && <p class="dim">No model was called yet.</p>}
      <ul class="plain">
        {limits.breakers.map((breaker) => (
          <li key={breaker.model} class="pair">
            <span>{breaker.model}</span>
            <span>
              <Status value={`breaker-${breaker.state}`} text={breaker.state === "half_open" ? "probing" : breaker.state} />
              {breaker.retry_in_ms !== undefined && <span class="dim"> for {duration(breaker.retry_in_ms)}</span>}
            </span>
          </li>
        ))}
      </ul>
    </article>
  );
}

function RetryBudgets({ limits, samples }: { limits: Limits; samples: Sample[] }) {
  return (
    <article class="card wide-card" aria-label="Retry budgets">
      <header>
        <h3>Retries, last 10 s</h3>
      </header>
      {limits.retries.map((retry) => (
        <div key={retry.provider} class="retry">
          <p class="pair">
            <span>{retry.provider}</span>
            <span>
              {retry.used} <span class="dim">of {retry.allowed}</span>
            </span>
          </p>
          <Spark
            values={samples.map(({ at, limits: then }) => ({ at, value: then.retries.find((other) => other.provider === retry.provider)?.used ?? 0 }))}
            max={retry.allowed}
            label={`Retries of ${retry.provider}, last minute`}
            tone={retry.used >= retry.allowed ? "warn" : "accent"}
          />
        </div>
      ))}
    </article>
  );
}

function CacheCard({ limits }: { limits: Limits }) {
  if (!limits.cache) return null;
  return (
    <article class="card wide-card" aria-label="Cache">
      <header>
        <h3>Cache</h3>
        <span class="card-value">{compact(limits.cache.entries)}</span>
      </header>
      <p class="dim">{compact(limits.cache.size_bytes)} bytes of results</p>
    </article>
  );
}

