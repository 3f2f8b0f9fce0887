// Callers: what each has used of its quota and budget, the fullest first.
import { compact, count, dollars } from "../lib/format";
import { limitsProblem, useLimits } from "../lib/limits";
import { href, route } from "../lib/route";
import type { Limit, Limits } from "../lib/types";
import { Empty, Meter, Panel, ProblemBox } from "../parts/basics";
import { LimitCard } from "./limits";

const PREFIX = "caller:";

/** Kinds of quota in the order of the table's columns. */
const KINDS: readonly (readonly [Limit["kind"], string])[] = [
  ["concurrency", "Calls at once"],
  ["requests_per_minute", "Requests / min"],
  ["tokens_per_minute", "Tokens / min"],
];

interface Caller {
  name: string;
  limits: Limit[];
  budget?: Limits["budgets"][number];
  /** Share of the fullest quota that is used. */
  fullness: number;
  waiting: number;
}

const usedShare = (used: number, limit: number | null): number => (limit === null ? 0 : used / Math.max(limit, 1e-9));

/** Returns the callers that the key may see, the fullest first. */
function callersOf(limits: Limits): Caller[] {
  const names = new Set([...limits.limits.filter(({ scope }) => scope.startsWith(PREFIX)).map(({ scope }) => scope.slice(PREFIX.length)), ...limits.budgets.map(({ caller }) => caller)]);
  return [...names]
    .map((name) => {
      const own = limits.limits.filter(({ scope }) => scope === PREFIX + name);
      const budget = limits.budgets.find(({ caller }) => caller === name);
      const shares = [...own.map((limit) => usedShare(limit.in_use, limit.limit)), budget ? usedShare(budget.spent_usd, budget.limit_usd) : 0];
      return { name, limits: own, budget, fullness: Math.max(0, ...shares), waiting: own.reduce((sum, limit) => sum + limit.waiting, 0) };
    })
    .sort((left, right) => Number(right.waiting > 0) - Number(left.waiting > 0) || right.fullness - left.fullness || left.name.localeCompare(right.name));
}

export function CallersView() {
  const samples = useLimits();
  const limits = samples.at(-1)?.limits;
  const callers = limits ? callersOf(limits) : [];
  const chosen = callers.find(({ name }) => name === route.value.id);
  return (
    <>
      <div class="intro">
        <h1>Callers</h1>
        <p>Each caller's use against its own quota. With an operator's key, all callers; otherwise the caller of the key. Names, keys and quotas are in the configuration.</p>
      </div>
      <ProblemBox problem={limitsProblem.value} />
      {limits && callers.length === 0 && (
        <Panel title="No callers">
          <Empty title="No caller has a quota of its own">
            <p>
              Add <code>[callers.NAME]</code> with a key and limits to the configuration; see the <a href="/docs/">reference</a>.
            </p>
          </Empty>
        </Panel>
      )}
      {callers.length > 0 && <Overview callers={callers} chosen={chosen?.name} />}
      {(chosen ? [chosen] : callers.filter(({ fullness, waiting }) => fullness > 0 || waiting > 0).slice(0, 3)).map(({ name, limits: own, budget }) => (
        <Panel key={name} title={name} class="limit-group">
          <div class="cards">
            {!budget && own.every(({ limit }) => limit === null) && <p class="dim">This caller has no quota of its own.</p>}
            {budget && <BudgetCard name={name} budget={budget} />}
            {own
              .filter(({ limit }) => limit !== null)
              .map((limit) => (
                <LimitCard key={limit.name} limit={limit} samples={samples} />
              ))}
          </div>
        </Panel>
      ))}
    </>
  );
}

/** Shows all callers with a meter for each quota. */
function Overview({ callers, chosen }: { callers: Caller[]; chosen?: string }) {
  return (
    <Panel title="Usage now" aside={<span class="dim">{callers.length === 1 ? "1 caller" : `${count(callers.length)} callers`}, the fullest first</span>}>
      <div class="callers-scroll" tabIndex={0} role="region" aria-label="Usage of all callers">
        <table class="callers">
          <thead>
            <tr>
              <th scope="col">Caller</th>
              {KINDS.map(([kind, title]) => (
                <th key={kind} scope="col">
                  {title}
                </th>
              ))}
              <th scope="col">Budget today</th>
              <th scope="col" class="number">
                Waiting
              </th>
            </tr>
          </thead>
          <tbody>
            {callers.map((caller) => (
              <tr key={caller.name} class={caller.waiting > 0 ? "full" : ""}>
                <th scope="row">
                  <a href={href("callers", caller.name === chosen ? undefined : caller.name)} aria-current={caller.name === chosen ? "true" : undefined}>
                    {caller.name}
                  </a>
                </th>
                {KINDS.map(([kind, title]) => {
                  const limit = caller.limits.find((limit) => limit.kind === kind);
                  return <QuotaCell key={kind} label={`${title} of ${caller.name}`} used={limit?.in_use} limit={limit?.limit} text={compact} />;
                })}
                <QuotaCell label={`Budget of ${caller.name} today`} used={caller.budget?.spent_usd} limit={caller.budget?.limit_usd} text={dollars} />
                <td class="number">{caller.waiting > 0 ? count(caller.waiting) : <span class="dim">–</span>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function QuotaCell(props: { label: string; used: number | undefined; limit: number | null | undefined; text: (value: number) => string }) {
  const { label, used, limit, text } = props;
  if (used === undefined || limit === undefined || limit === null) return <td class="dim">no limit</td>;
  const share = usedShare(used, limit);
  return (
    <td>
      <span class="quota">
        {text(used)} <span class="dim">/ {text(limit)}</span>
      </span>
      <Meter label={label} value={used} max={limit} tone={share >= 1 ? "bad" : share >= 0.8 ? "warn" : "accent"} />
    </td>
  );
}

function BudgetCard({ name, budget }: { name: string; budget: Limits["budgets"][number] }) {
  return (
    <article class="card" aria-label={`Budget of ${name}`}>
      <header>
        <h3>Budget today</h3>
        <span class="card-value">
          {dollars(budget.spent_usd)}
          <span class="dim"> / {dollars(budget.limit_usd)}</span>
        </span>
      </header>
      <Meter label={`Budget of ${name}`} value={budget.spent_usd} max={budget.limit_usd || 1} tone={budget.spent_usd >= budget.limit_usd ? "bad" : "accent"} />
      <p class="card-foot dim">until midnight UTC, with what calls in flight have reserved</p>
    </article>
  );
}
