// One item: its phases in order, each call's prompt, answer, errors and cost.
import { useEffect, useState } from "preact/hooks";
import { problemOf } from "../../lib/api";
import { dollars, duration } from "../../lib/format";
import { describe, kindOf } from "../../lib/limits";
import { setParams } from "../../lib/route";
import type { TimelineSource } from "../../lib/timeline";
import type { ItemResult, Problem, Span } from "../../lib/types";
import { ProblemBox, Status } from "../../parts/basics";
import { EvidenceView } from "../../parts/evidence";
import { ResultFacts } from "../try/detail";

export function ItemDetail({ source, at }: { source: TimelineSource; at: number }) {
  const [result, setResult] = useState<ItemResult>();
  const [problem, setProblem] = useState<Problem>();
  useEffect(() => {
    source.result(at).then(setResult, (error) => setProblem(problemOf(error)));
  }, [source, at]);
  const item = source.item(at);
  const text = source.text(at);
  return (
    <aside class="row-detail" aria-label={`Item ${item.index + 1}`}>
      <header>
        <h3>Item {item.index + 1}</h3>
        <Status value={item.state} />
        <button type="button" class="icon" aria-label="Close the item" onClick={() => setParams({ item: "" })}>
          ×
        </button>
      </header>
      {text && !result?.evidence && <p class="full-text">{text}</p>}
      {result?.evidence && <EvidenceView text={text} result={result} />}
      <ol class="spans">
        {result?.trace
          ? result.trace.spans.map((span, index) => <SpanLine key={index} span={span} />)
          : item.segments
              .filter((segment) => segment.toMs - segment.fromMs >= 0.05)
              .map((segment, index) => (
                <li key={index} class="span">
                  <span class={`swatch ${segment.kind === "wait" ? `wait-${segment.holder ?? "queue"}` : `seg-${segment.kind}`}`} aria-hidden="true" />
                  <span>{segment.kind === "wait" ? `waited for ${segment.limit ? describe(segment.limit) : "its turn in the queue"}` : segment.kind === "call" ? "in calls" : "checking"}</span>
                  <span class="dim">{duration(segment.toMs - segment.fromMs)}</span>
                </li>
              ))}
      </ol>
      <ProblemBox problem={problem} />
      {result?.data !== undefined && (
        <>
          <h4>Result</h4>
          <pre class="code raw" tabIndex={0} aria-label="Result">
            {JSON.stringify(result.data, null, 2)}
          </pre>
        </>
      )}
      {result && <ResultFacts result={result} />}
    </aside>
  );
}

function SpanLine({ span }: { span: Span }) {
  const length = duration(span.end_ms - span.start_ms);
  if (span.kind === "wait") {
    return (
      <li class="span">
        <span class={`swatch wait-${span.limit ? kindOf(span.limit) : "queue"}`} aria-hidden="true" />
        <span>waited for {span.limit ? describe(span.limit) : "its turn in the queue"}</span>
        <span class="dim">{length}</span>
      </li>
    );
  }
  const facts = [span.model, span.outcome, span.usage && `${span.usage.total_tokens} tokens`, span.usage?.cost_usd !== undefined && dollars(span.usage.cost_usd)].filter(Boolean);
  return (
    <li class="span">
      <span class={`swatch seg-${span.kind}`} aria-hidden="true" />
      <span>
        {span.kind === "call" ? `call ${span.attempt}` : "checked the answer"} <span class="dim">{facts.join(", ")}</span>
      </span>
      <span class="dim">{length}</span>
      {span.detail && <p class="span-body">{span.detail}</p>}
      {span.errors && span.errors.length > 0 && (
        <ul class="errors span-body">
          {span.errors.map((error) => (
            <li key={error.pointer + error.message}>
              <code>{error.pointer || "/"}</code> {error.message}
            </li>
          ))}
        </ul>
      )}
      {span.prompt !== undefined && (
        <details class="span-body">
          <summary>Prompt</summary>
          <pre class="code raw" tabIndex={0} aria-label="Prompt">{span.prompt}</pre>
        </details>
      )}
      {span.answer !== undefined && (
        <details class="span-body">
          <summary>Answer</summary>
          <pre class="code raw" tabIndex={0} aria-label="Answer">{span.answer}</pre>
        </details>
      )}
    </li>
  );
}
