// Prometheus text, as far as the page reads it.
import { send } from "./api";

export interface Metric {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export async function readMetrics(): Promise<Metric[]> {
  const text = await (await send("/metrics")).text();
  return text
    .split("\n")
    .filter((line) => line && !line.startsWith("#"))
    .map((line) => {
      const [, name = "", labels = "", value = "0"] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/i.exec(line) ?? [];
      const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((match) => [match[1]!, match[2]!.replaceAll("\\\"", '"')] as const);
      return { name, labels: Object.fromEntries(pairs), value: Number(value) };
    });
}

/** Returns the sum of a metric over the series with these labels. */
export function sum(metrics: Metric[], name: string, labels: Record<string, string>): number {
  return metrics
    .filter((metric) => metric.name === name && Object.entries(labels).every(([label, value]) => metric.labels[label] === value))
    .reduce((total, metric) => total + metric.value, 0);
}
