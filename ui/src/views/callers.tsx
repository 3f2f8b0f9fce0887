// Callers: what each has used of its quota and budget.
import { dollars } from "../lib/format";
import { limitsProblem, useLimits } from "../lib/limits";
import { Empty, Meter, Panel, ProblemBox } from "../parts/basics";
import { LimitCard } from "./limits";

const PREFIX = "caller:";

export function CallersView() {
  const samples = useLimits();
  const limits = samples.at(-1)?.limits;
  const names = new Set([
    ...(limits?.limits ?? []).filter(({ scope }) => scope.startsWith(PREFIX)).map(({ scope }) => scope.slice(PREFIX.length)),
    ...(limits?.budgets ?? []).map(({ caller }) => caller),
  ]);
  return (
    <>
      <div class="intro">
        <h1>Callers</h1>
        <p>Each caller's use against its own quota. Callers have names, keys and quotas in the configuration.</p>
      </div>
      <ProblemBox problem={limitsProblem.value} />
      {limits && names.size === 0 && (
        <Panel title="No callers">
          <Empty title="No caller has a quota of its own">
            <p>
              Add <code>[callers.NAME]</code> with a key and limits to the configuration; see the <a href="/docs/">reference</a>.
            </p>
          </Empty>
        </Panel>
      )}
      {[...names].map((name) => {
        const budget = limits?.budgets.find(({ caller }) => caller === name);
        return (
          <Panel key={name} title={name} class="limit-group">
            <div class="cards">
              {budget && (
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
              )}
              {limits?.limits.filter(({ scope }) => scope === PREFIX + name).map((limit) => <LimitCard key={limit.name} limit={limit} samples={samples} />)}
            </div>
          </Panel>
        );
      })}
    </>
  );
}
