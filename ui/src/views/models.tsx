// Models: what can be asked, how, and what each has done since the start.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, problemOf } from "../lib/api";
import { compact, dollars, duration } from "../lib/format";
import { useLimits } from "../lib/limits";
import { readMetrics, sum, type Metric } from "../lib/metrics";
import { href } from "../lib/route";
import type { Adaptation, Model, Problem } from "../lib/types";
import { Empty, Figure, Panel, ProblemBox, Status } from "../parts/basics";
import { update } from "./try/state";

const FEATURES: Record<string, string> = {
  schema: "the schema",
  output_limit: "the limit of output tokens",
  stream_usage: "usage in streams",
  stream: "streaming",
  system_role: "the system role",
};

/** Returns what requests to a model leave out, and why. */
function adaptationText({ feature, mode, schemas }: Adaptation): string {
  const what = feature === "mode" && mode ? `the mode ${mode}` : mode ? `${FEATURES[feature] ?? feature} in the mode ${mode}` : (FEATURES[feature] ?? feature);
  const where = schemas ? ` for ${schemas === 1 ? "one schema" : `${schemas} schemas`}` : "";
  return `Requests leave out ${what}${where}: the provider rejected it;`;
}

export function ModelsView() {
  const models = useSignal<Model[] | undefined>(undefined);
  const metrics = useSignal<Metric[]>([]);
  const problem = useSignal<Problem | undefined>(undefined);
  const limits = useLimits().at(-1)?.limits;

  useEffect(() => {
    get<{ data: Model[] }>("/v1/models")
      .then((list) => (models.value = list.data))
      .catch((error) => (problem.value = problemOf(error)));
    const read = () => void readMetrics().then((read) => (metrics.value = read)).catch(() => {});
    read();
    const timer = setInterval(read, 3000);
    return () => clearInterval(timer);
  }, []);

  return (
    <>
      <div class="intro">
        <h1>Models</h1>
        <p>
          A request names one in <code>model</code>. Any other model of a configured provider can be named as <code>provider/model</code>.
        </p>
      </div>
      <ProblemBox problem={problem.value} />
      {models.value?.length === 0 && <Empty title="No model is configured" />}
      <div class="cards model-cards">
        {models.value?.map((model) => {
          const label = model.id.includes("/") ? model.id : `${model.provider}/${model.id}`;
          const breaker = limits?.breakers.find((one) => one.model === label);
          const total = (name: string, labels = {}) => sum(metrics.value, name, { model: label, ...labels });
          const cost = total("extractd_model_cost_usd_total");
          return (
            <Panel key={model.id} title={model.id} aside={<>{model.default && <span class="badge">default</span>}{breaker && <Status value={`breaker-${breaker.state}`} text={breaker.state === "closed" ? "available" : breaker.state === "open" ? "circuit open" : "probing"} />}</>}>
              <dl class="figures">
                <Figure label="Provider">{model.provider}</Figure>
                <Figure label="Calls">{compact(total("extractd_upstream_calls_total"))}</Figure>
                <Figure label="Tokens in">{compact(total("extractd_model_tokens_total", { direction: "input" }))}</Figure>
                <Figure label="Tokens out">{compact(total("extractd_model_tokens_total", { direction: "output" }))}</Figure>
                <Figure label="Cost">{cost > 0 ? dollars(cost) : "–"}</Figure>
              </dl>
              <p class="modes">
                {model.modes.map((mode) => (
                  <span key={mode} class="badge">
                    {mode}
                  </span>
                ))}
              </p>
              {model.adaptations?.length ? (
                <ul class="adaptations">
                  {model.adaptations.map((adaptation) => (
                    <li key={`${adaptation.feature} ${adaptation.mode}`}>
                      {adaptationText(adaptation)} <span class="dim">tried again in {duration(adaptation.expires_in_s * 1000)}</span>
                    </li>
                  ))}
                </ul>
              ) : null}
              {model.note && <p class="dim">{model.note}</p>}
              <a class="button" href={href("try")} onClick={() => update({ model: model.default ? "" : model.id })}>
                Try it
              </a>
            </Panel>
          );
        })}
      </div>
    </>
  );
}
