// Small parts that every view uses.
import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import type { Problem } from "../lib/types";

export function Panel(props: { title: ComponentChildren; aside?: ComponentChildren; class?: string; children: ComponentChildren }) {
  const id = useId();
  return (
    <section class={`panel ${props.class ?? ""}`} aria-labelledby={id}>
      <header class="panel-head">
        <h2 id={id}>{props.title}</h2>
        {props.aside && <div class="aside">{props.aside}</div>}
      </header>
      {props.children}
    </section>
  );
}

/** A label above its control. */
export function Labelled(props: { label: string; hint?: string; class?: string; children: (id: string) => ComponentChildren }) {
  const id = useId();
  return (
    <div class={`labelled ${props.class ?? ""}`}>
      <label for={id}>
        {props.label}
        {props.hint && <span class="hint"> {props.hint}</span>}
      </label>
      {props.children(id)}
    </div>
  );
}

export function Select<T extends string>(props: {
  label: string;
  hint?: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
  class?: string;
}) {
  return (
    <Labelled label={props.label} hint={props.hint} class={props.class}>
      {(id) => (
        <select id={id} value={props.value} onChange={(event) => props.onChange(event.currentTarget.value as T)}>
          {props.options.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Labelled>
  );
}

/** A row of choices of which one is pressed. */
export function Choices<T extends string>(props: { label: string; value: T; options: readonly (readonly [T, ComponentChildren])[]; onChange: (value: T) => void }) {
  return (
    <div class="choices" role="group" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button key={value} type="button" aria-pressed={props.value === value} onClick={() => props.onChange(value)}>
          {text}
        </button>
      ))}
    </div>
  );
}

export function Status(props: { value: string; text?: string }) {
  return (
    <span class={`status status-${props.value}`}>
      <span class="dot" aria-hidden="true" />
      {props.text ?? props.value.replaceAll("_", " ")}
    </span>
  );
}

export function ProblemBox(props: { problem: Problem | undefined; onRetry?: () => void }) {
  const { problem } = props;
  if (!problem) return null;
  return (
    <div class="problem" role="alert">
      <p>
        <strong>{problem.title}</strong> <code>{problem.code}</code>
      </p>
      {problem.detail && <p>{problem.detail}</p>}
      {problem.errors && problem.errors.length > 0 && (
        <ul>
          {problem.errors.slice(0, 20).map((error) => (
            <li key={error.pointer + error.message}>
              <code>{error.pointer || "/"}</code> {error.message}
            </li>
          ))}
        </ul>
      )}
      {props.onRetry && (
        <button type="button" onClick={props.onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Empty(props: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{props.title}</p>
      {props.children}
    </div>
  );
}

/** A bar of parts of a whole. */
export function Meter(props: { label: string; value: number; max: number; parts?: readonly (readonly [string, number])[]; tone?: string }) {
  const max = Math.max(props.max, 1);
  const parts = props.parts ?? [[props.tone ?? "accent", props.value] as const];
  return (
    <div class="meter" role="progressbar" aria-label={props.label} aria-valuemin={0} aria-valuemax={props.max} aria-valuenow={Math.min(props.value, props.max)}>
      {parts.map(([tone, value]) => (
        <span key={tone} class={`fill fill-${tone}`} style={{ width: `${Math.min(100, (100 * value) / max)}%` }} />
      ))}
    </div>
  );
}

export function CopyButton(props: { text: () => string; label?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(props.text());
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <button type="button" class="quiet" onClick={copy}>
      <span aria-live="polite">{copied ? "Copied" : (props.label ?? "Copy")}</span>
    </button>
  );
}

export function Figure(props: { label: string; children: ComponentChildren }) {
  return (
    <div class="figure">
      <dt>{props.label}</dt>
      <dd>{props.children}</dd>
    </div>
  );
}
