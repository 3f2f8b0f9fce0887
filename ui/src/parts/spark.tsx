// A minute of one number as a line.
export function Spark(props: { values: { at: number; value: number }[]; max?: number; label: string; tone?: string; spanMs?: number }) {
  const { values, spanMs = 60_000 } = props;
  const end = values.at(-1)?.at ?? 0;
  const top = Math.max(1, props.max ?? 0, ...values.map(({ value }) => value));
  const points = values.map(({ at, value }) => `${(100 - (100 * (end - at)) / spanMs).toFixed(2)},${(30 - (28 * value) / top).toFixed(2)}`);
  const first = points[0]?.split(",")[0] ?? "100";
  return (
    <svg class={`spark spark-${props.tone ?? "accent"}`} viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label={props.label}>
      {points.length > 1 && (
        <>
          <polygon points={`${first},30 ${points.join(" ")} 100,30`} />
          <polyline points={points.join(" ")} vector-effect="non-scaling-stroke" />
        </>
      )}
    </svg>
  );
}
