// A text with the places marked that its result states.
import type { Mark } from "../lib/marks";

const HUES = 6;

interface MarkedProps {
  text: string;
  marks: Mark[];
  /** Returns true for a mark that is lit up. */
  isLit?: (mark: Mark) => boolean;
  /** Called when the pointer comes to a mark, and with nothing when it leaves. */
  onPoint?: (mark?: Mark) => void;
}

export function MarkedText({ text, marks, isLit, onPoint }: MarkedProps) {
  let at = 0;
  return (
    <>
      {marks.map((mark) => {
        const before = text.slice(at, mark.start);
        at = mark.end;
        return (
          <>
            {before}
            <mark
              class={`hue-${mark.column % HUES} ${isLit?.(mark) ? "focus" : ""}`}
              title={mark.pointer}
              onMouseEnter={onPoint && (() => onPoint(mark))}
              onMouseLeave={onPoint && (() => onPoint())}
            >
              {text.slice(mark.start, mark.end)}
            </mark>
          </>
        );
      })}
      {text.slice(at)}
    </>
  );
}

export function Highlighted({ on, column, text, isLit }: { on: boolean; column: number; text: string; isLit?: boolean }) {
  return on ? <mark class={`hue-${column % HUES} ${isLit ? "focus" : ""}`}>{text}</mark> : <>{text}</>;
}
