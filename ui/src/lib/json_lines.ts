// Lines of a JSON text by JSON Pointer, so that an error of the server can be shown at its place.

/** Returns the line (from 1) at which each value of the text starts, by its JSON Pointer. Reads as far as the text is JSON. */
export function linesByPointer(text: string): Map<string, number> {
  const found = new Map<string, number>();
  let at = 0;
  let line = 1;
  const space = () => {
    for (; at < text.length && /\s/.test(text[at]!); at++) if (text[at] === "\n") line++;
  };
  const string = (): string => {
    const start = at++;
    while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    at++;
    try {
      return JSON.parse(text.slice(start, at)) as string;
    } catch {
      return "";
    }
  };
  const value = (pointer: string): void => {
    space();
    if (!found.has(pointer)) found.set(pointer, line);
    const open = text[at];
    if (open === "{" || open === "[") members(pointer, open === "{");
    else if (open === '"') string();
    else while (at < text.length && !/[,\]}\s]/.test(text[at]!)) at++;
  };
  const members = (pointer: string, named: boolean): void => {
    at++;
    for (let index = 0; at < text.length; index++) {
      space();
      if (text[at] === "}" || text[at] === "]" || at >= text.length) break;
      let name = String(index);
      if (named) {
        if (text[at] !== '"') return;
        const from = line;
        name = string().replaceAll("~", "~0").replaceAll("/", "~1");
        found.set(`${pointer}/${name}`, from);
        space();
        if (text[at] !== ":") return;
        at++;
      }
      value(`${pointer}/${name}`);
      space();
      if (text[at] !== ",") break;
      at++;
    }
    at++;
  };
  value("");
  return found;
}

/** Returns the line of a pointer, or of its nearest parent that is in the text. */
export function lineOf(text: string, pointer: string): number {
  const known = linesByPointer(text);
  for (let path = pointer; path; path = path.slice(0, path.lastIndexOf("/"))) {
    const line = known.get(path);
    if (line) return line;
  }
  return 1;
}

/** Returns the line of a syntax error, from the message of `JSON.parse`. */
export function syntaxLine(text: string, message: string): number {
  const place = /line (\d+)/.exec(message);
  if (place) return Number(place[1]);
  const position = /position (\d+)/.exec(message);
  const end = position ? Number(position[1]) : text.length;
  return text.slice(0, end).split("\n").length;
}
