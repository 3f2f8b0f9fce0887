// The address holds what is on screen: the view before `?`, its state after it, packed if it is long.
import { signal } from "@preact/signals";

export interface Route {
  view: string;
  id?: string;
  params: URLSearchParams;
}

function parse(): Route {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "", id] = path.split("/");
  return { view: view || "try", id: id ? decodeURIComponent(id) : undefined, params: new URLSearchParams(query) };
}

export const route = signal(parse());
addEventListener("hashchange", () => (route.value = parse()));

/** Returns the address of a view. */
export function href(view: string, id?: string, params?: Record<string, string>): string {
  const query = new URLSearchParams(params).toString();
  return `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}${query ? `?${query}` : ""}`;
}

/** Replaces parameters of the address without a step in the history. An empty value removes its parameter. */
export function setParams(changes: Record<string, string>): void {
  const { view, id, params } = route.peek();
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  history.replaceState(null, "", href(view, id, Object.fromEntries(next)));
  route.value = parse();
}

async function through(bytes: BlobPart, stream: CompressionStream | DecompressionStream): Promise<Uint8Array> {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

/** Packs a value into characters that an address may have. */
export async function pack(value: unknown): Promise<string> {
  const bytes = await through(JSON.stringify(value), new CompressionStream("deflate-raw"));
  let binary = "";
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Returns the value that was packed; `undefined` if the address was damaged. */
export async function unpack<T>(text: string): Promise<T | undefined> {
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(await through(bytes, new DecompressionStream("deflate-raw")))) as T;
  } catch {
    return undefined;
  }
}
