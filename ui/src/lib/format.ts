// Numbers, durations and times as the page shows them.

const WHOLE = new Intl.NumberFormat("en");

export const count = (value: number): string => WHOLE.format(value);

export function compact(value: number): string {
  return value < 10_000 ? count(value) : new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

/** Returns a size in the unit that suits it. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(units.length - 1, value < 1 ? 0 : Math.floor(Math.log2(value) / 10));
  const scaled = value / 1024 ** unit;
  return `${unit === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${units[unit]}`;
}

/** Returns a duration in the unit that suits it. */
export function duration(ms: number): string {
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function dollars(value: number): string {
  return `$${value === 0 || value >= 1 ? value.toFixed(2) : value.toPrecision(2)}`;
}

export function ago(time: string, now: number): string {
  const ms = Math.max(0, now - Date.parse(time));
  if (ms < 5000) return "just now";
  if (ms < 60_000) return `${Math.floor(ms / 1000)} s ago`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ago`;
  return ms < 86_400_000 ? `${Math.floor(ms / 3_600_000)} h ago` : new Date(time).toLocaleDateString("en-CA");
}

export function plural(value: number, word: string): string {
  return `${count(value)} ${word}${value === 1 ? "" : "s"}`;
}

/** Returns a value of the result as one line. */
export function cell(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.every((part) => typeof part !== "object" || part === null)) return value.join(", ");
  return JSON.stringify(value);
}

/** Returns the values of an object with their names, as one line. */
export function brief(value: unknown): string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return cell(value);
  return Object.entries(value)
    .map(([name, part]) => `${name}: ${cell(part)}`)
    .join(" · ");
}
