// A field for JSON with line numbers, in which the lines with errors are marked.
import { useId, useRef } from "preact/hooks";

export interface LineError {
  line: number;
  message: string;
}

export function JsonEditor(props: { label: string; value: string; errors?: LineError[]; rows?: number; onChange: (value: string) => void; placeholder?: string }) {
  const id = useId();
  const area = useRef<HTMLTextAreaElement>(null);
  const gutter = useRef<HTMLDivElement>(null);
  const errors = props.errors ?? [];
  const wrong = new Set(errors.map((error) => error.line));
  const total = props.value.split("\n").length;

  const select = (line: number) => {
    const parts = props.value.split("\n");
    const start = parts.slice(0, line - 1).reduce((sum, part) => sum + part.length + 1, 0);
    const element = area.current!;
    element.focus();
    element.setSelectionRange(start, start + (parts[line - 1]?.length ?? 0));
    element.scrollTop = Math.max(0, (line - 4) * 20);
  };
  // Tab stays a way out of the field, so that nobody is caught in it.
  return (
    <div class="json-editor">
      <label for={id}>{props.label}</label>
      <div class={`json-box ${errors.length ? "wrong" : ""}`}>
        <div class="gutter" ref={gutter} aria-hidden="true">
          {Array.from({ length: total }, (_, at) => (
            <span key={at} class={wrong.has(at + 1) ? "bad" : ""}>
              {at + 1}
            </span>
          ))}
        </div>
        <textarea
          id={id}
          ref={area}
          class="code"
          rows={props.rows ?? 14}
          spellcheck={false}
          wrap="off"
          value={props.value}
          placeholder={props.placeholder}
          aria-invalid={errors.length > 0}
          aria-describedby={errors.length ? `${id}-errors` : undefined}
          onInput={(event) => props.onChange(event.currentTarget.value)}
          onScroll={(event) => (gutter.current!.scrollTop = event.currentTarget.scrollTop)}
        />
      </div>
      <div id={`${id}-errors`} aria-live="polite">
        {errors.slice(0, 6).map((error) => (
          <button key={error.line + error.message} type="button" class="line-error" onClick={() => select(error.line)}>
            <strong>Line {error.line}</strong> {error.message}
          </button>
        ))}
      </div>
    </div>
  );
}
