// A text with the words marked that its result repeats.
import type { Mark } from "../lib/marks";

const HUES = 6;

export function MarkedText({ text, marks, focus }: { text: string; marks: Mark[]; focus?: number }) {
  let at = 0;
  return (
    <>
      {marks.map((mark) => {
        const before = text.slice(at, mark.start);
        at = mark.end;
        return (
          <>
            {before}
            <mark class={`hue-${mark.column % HUES} ${focus === mark.column ? "focus" : ""}`}>{text.slice(mark.start, mark.end)}</mark>
          </>
        );
      })}
      {text.slice(at)}
    </>
  );
}

export function Highlighted({ on, column, text }: { on: boolean; column: number; text: string }) {
  return on ? <mark class={`hue-${column % HUES}`}>{text}</mark> : <>{text}</>;
}
