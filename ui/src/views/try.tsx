// Try: texts in, a checked table out.
import { useEffect } from "preact/hooks";
import { route, setParams } from "../lib/route";
import { startRun } from "../lib/run";
import { plural } from "../lib/format";
import { ProblemBox } from "../parts/basics";
import { OptionsPanel } from "./try/options";
import { RequestCode } from "./try/request_code";
import { Results, shown } from "./try/results";
import { checked, SchemaPanel, useServerCheck } from "./try/schema_panel";
import { TextsPanel } from "./try/texts";
import { addressIsPartial, connectToAddress, draft, file, inputs, schema, specOf } from "./try/state";

const SAMPLE = 5;
/** Number of texts up to which each result brings its prompts and answers. */
const MAX_TRACED = 1000;

export function TryView() {
  const packed = route.value.params.get("s");
  useEffect(() => void connectToAddress(), [packed]);
  useServerCheck();
  return (
    <>
      <div class="intro">
        <h1>Turn texts into a table</h1>
        <p>A language model reads each text; every answer is checked against your table before it counts. Paste your own texts, or run the example.</p>
      </div>
      <div class="setup">
        <TextsPanel />
        <SchemaPanel />
        <OptionsPanel aside={<RunBar />} />
      </div>
      <RequestProblem />
      <Results />
      <RequestCode />
      {addressIsPartial.value && <p class="dim">The address of this page holds everything but the texts, which come from a file or are too long for it.</p>}
    </>
  );
}

function RunBar() {
  const built = specOf(draft.value);
  const running = shown.value?.version.value !== undefined && shown.value.status === "running";
  const total = inputs.value.length;
  const blocked = "error" in built || total === 0 || !draft.value.schema.trim() || running;
  const run = (limit?: number) => {
    if (!("spec" in built)) return;
    const title = (schema.value.value as { title?: string } | undefined)?.title;
    const texts = inputs.value.slice(0, limit);
    setParams({ row: "", filter: "" });
    shown.value = startRun(texts, { ...built.spec, on_failure: "best", ...(texts.length <= MAX_TRACED ? { trace: true } : {}) }, draft.value.order, `${title ?? "Try"}, ${plural(texts.length, "text")}`, file.value?.table?.header);
    requestAnimationFrame(() => document.querySelector(".results")?.scrollIntoView({ block: "start", behavior: reducedMotion() ? "auto" : "smooth" }));
  };
  return (
    <div class="run-buttons">
      {"error" in built && <span class="field-error">The {built.field} field is not JSON yet.</span>}
      {total === 0 && <span class="dim">Add a text first.</span>}
      <button type="button" class="primary" disabled={blocked} onClick={() => run(SAMPLE)}>
        Run a sample of {Math.min(SAMPLE, total || SAMPLE)}
      </button>
      <button type="button" disabled={blocked} onClick={() => run()}>
        Run on all {total > 0 && plural(total, "text")}
      </button>
    </div>
  );
}

/** What the server rejects of the request as a whole; errors of its JSON fields stand at their lines. */
function RequestProblem() {
  const problem = checked.value;
  const isShown = problem && problem.code !== "unauthorized" && !problem.errors?.some(({ pointer }) => /^\/(schema|examples|rules)/.test(pointer));
  return <ProblemBox problem={isShown ? problem : undefined} />;
}

const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
