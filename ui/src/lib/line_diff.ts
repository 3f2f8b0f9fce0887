// Difference of two texts by lines.

export interface DiffLine {
  sign: " " | "+" | "-";
  text: string;
}

/** Longest texts, in lines, whose difference is computed; of longer ones all lines are old or new. */
const MOST_LINES = 2000;

/** Returns the lines of both texts in order: common, removed and added ones. */
export function lineDiff(before: string, after: string): DiffLine[] {
  const [old, fresh] = [before.split("\n"), after.split("\n")];
  let head = 0;
  while (head < old.length && head < fresh.length && old[head] === fresh[head]) head++;
  let tail = 0;
  while (tail < old.length - head && tail < fresh.length - head && old.at(-1 - tail) === fresh.at(-1 - tail)) tail++;
  const middle = between(old.slice(head, old.length - tail), fresh.slice(head, fresh.length - tail));
  const common = (lines: string[]): DiffLine[] => lines.map((text) => ({ sign: " ", text }));
  return [...common(old.slice(0, head)), ...middle, ...common(tail ? old.slice(-tail) : [])];
}

/** Returns the difference by the longest common subsequence. */
function between(old: string[], fresh: string[]): DiffLine[] {
  if (old.length > MOST_LINES || fresh.length > MOST_LINES) {
    return [...old.map((text) => ({ sign: "-" as const, text })), ...fresh.map((text) => ({ sign: "+" as const, text }))];
  }
  const width = fresh.length + 1;
  const lengths = new Uint16Array((old.length + 1) * width);
  for (let a = old.length - 1; a >= 0; a--) {
    for (let b = fresh.length - 1; b >= 0; b--) {
      lengths[a * width + b] = old[a] === fresh[b] ? lengths[(a + 1) * width + b + 1]! + 1 : Math.max(lengths[(a + 1) * width + b]!, lengths[a * width + b + 1]!);
    }
  }
  const found: DiffLine[] = [];
  let [a, b] = [0, 0];
  while (a < old.length || b < fresh.length) {
    if (a < old.length && b < fresh.length && old[a] === fresh[b]) {
      found.push({ sign: " ", text: old[a++]! });
      b++;
    } else if (b === fresh.length || (a < old.length && lengths[(a + 1) * width + b]! >= lengths[a * width + b + 1]!)) {
      found.push({ sign: "-", text: old[a++]! });
    } else found.push({ sign: "+", text: fresh[b++]! });
  }
  return found;
}

/** Returns the lines near a difference, and how many are left out before each of them. */
export function nearChanges(lines: DiffLine[], around = 3): { line: DiffLine; skipped: number }[] {
  const near = (at: number) => lines.slice(Math.max(0, at - around), at + around + 1).some(({ sign }) => sign !== " ");
  const found: { line: DiffLine; skipped: number }[] = [];
  let skipped = 0;
  lines.forEach((line, at) => {
    if (near(at)) {
      found.push({ line, skipped });
      skipped = 0;
    } else skipped++;
  });
  return found;
}
