// Versions of a schema: when each was stored, how it differs from the current one, and the way back to it.
import { useEffect, useState } from "preact/hooks";
import { get, problemOf } from "../../lib/api";
import { ago, plural } from "../../lib/format";
import { lineDiff, nearChanges } from "../../lib/line_diff";
import type { Problem, SchemaVersion } from "../../lib/types";
import { Panel, ProblemBox } from "../../parts/basics";

const pretty = (schema: unknown): string => JSON.stringify(schema, null, 2);

export function Versions({ name, round, onRestore }: { name: string; round: number; onRestore: (text: string, hash: string) => void }) {
  const [versions, setVersions] = useState<SchemaVersion[]>([]);
  const [open, setOpen] = useState<string>();
  const [problem, setProblem] = useState<Problem>();
  const path = `/v1/schemas/${encodeURIComponent(name)}`;
  useEffect(() => {
    setOpen(undefined);
    get<{ data: SchemaVersion[] }>(`${path}/versions`)
      .then(({ data }) => setVersions(data))
      .catch((error) => setProblem(problemOf(error)));
  }, [path, round]);
  const earlier = versions.filter(({ is_current }) => !is_current);
  return (
    <Panel title="Versions" aside={versions.length > 0 && <span class="dim">{earlier.length ? plural(earlier.length, "earlier version") : "no earlier version"}</span>}>
      <ProblemBox problem={problem} />
      <ul class="plain schema-list version-list">
        {versions.map((version) => (
          <li key={version.hash}>
            <span>
              <time dateTime={version.stored_at} title={version.stored_at}>
                {ago(version.stored_at, Date.now())}
              </time>{" "}
              <code class="dim" title={version.hash}>
                {version.hash.slice(0, 8)}
              </code>
            </span>
            {version.is_current ? (
              <span class="status status-done">
                <span class="dot" aria-hidden="true" />
                current
              </span>
            ) : (
              <button type="button" class="quiet" aria-expanded={open === version.hash} onClick={() => setOpen(open === version.hash ? undefined : version.hash)}>
                {open === version.hash ? "Close" : "Compare"}
              </button>
            )}
            {open === version.hash && <Comparison path={path} hash={version.hash} onRestore={onRestore} />}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** Shows what restoring a version would change. */
function Comparison({ path, hash, onRestore }: { path: string; hash: string; onRestore: (text: string, hash: string) => void }) {
  const [texts, setTexts] = useState<[string, string]>();
  const [problem, setProblem] = useState<Problem>();
  useEffect(() => {
    Promise.all([get(path), get(`${path}?version=${hash}`)])
      .then(([current, version]) => setTexts([pretty(current), pretty(version)]))
      .catch((error) => setProblem(problemOf(error)));
  }, [path, hash]);
  if (problem) return <ProblemBox problem={problem} />;
  if (!texts) return null;
  const lines = nearChanges(lineDiff(texts[0], texts[1]));
  return (
    <div class="comparison">
      <p class="dim">From the current version to this one:</p>
      <ol class="code diff" tabIndex={0} aria-label="Difference from the current version">
        {lines.map(({ line, skipped }, at) => (
          <li key={at} class={line.sign === "+" ? "added" : line.sign === "-" ? "removed" : ""}>
            {skipped > 0 && <span class="skipped">… {plural(skipped, "line")}</span>}
            <span class="visually-hidden">{line.sign === "+" ? "added: " : line.sign === "-" ? "removed: " : ""}</span>
            <span aria-hidden="true">{line.sign} </span>
            {line.text}
          </li>
        ))}
        {lines.length === 0 && <li>only the white space or the order differs</li>}
      </ol>
      <button type="button" onClick={() => onRestore(texts[1], hash)}>
        Edit this version
      </button>
    </div>
  );
}
