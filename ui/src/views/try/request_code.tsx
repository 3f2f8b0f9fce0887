// The request on screen as curl, Python and TypeScript.
import { useState } from "preact/hooks";
import { apiKey } from "../../lib/api";
import { Choices, CopyButton } from "../../parts/basics";
import { draft, inputs, specOf } from "./state";

type Language = "curl" | "python" | "typescript";

/** Texts beyond this are left to the reader, so that a file of a million lines does not end up in the page. */
const MAX_INPUTS = 200;

export function RequestCode() {
  const [language, setLanguage] = useState<Language>("curl");
  const code = write(language);
  return (
    <details class="request-code">
      <summary>The same as a request: curl, Python, TypeScript</summary>
      <div class="code-head">
        <Choices label="Language" value={language} options={[["curl", "curl"], ["python", "Python"], ["typescript", "TypeScript"]] as const} onChange={setLanguage} />
        <CopyButton text={() => code} />
      </div>
      <pre class="code" tabIndex={0} aria-label="Request">
        {code}
      </pre>
    </details>
  );
}

function write(language: Language): string {
  const built = specOf(draft.value);
  if (!("spec" in built)) return `${built.field} is not JSON yet: ${built.error}`;
  const all = inputs.value.map((input) => (input.id === undefined ? input.text : { id: input.id, input: input.text }));
  const body = JSON.stringify({ ...built.spec, inputs: all.slice(0, MAX_INPUTS) }, null, 2);
  const cut = all.length > MAX_INPUTS ? `the first ${MAX_INPUTS} of ${all.length} texts` : "";
  const stream = draft.value.order === "completed";
  const url = `${location.origin}/v1/extract/batch`;
  return { curl, python, typescript }[language]({ body, cut, stream, url, withKey: Boolean(apiKey.value) });
}

interface Parts {
  body: string;
  cut: string;
  stream: boolean;
  url: string;
  withKey: boolean;
}

function curl({ body, cut, stream, url, withKey }: Parts): string {
  return [
    ...(cut ? [`# ${cut}`] : []),
    `curl -N ${url} \\`,
    ...(withKey ? [`  -H "Authorization: Bearer $EXTRACTD_API_KEY" \\`] : []),
    `  -H 'Accept: ${stream ? "application/x-ndjson" : "application/json"}' \\`,
    `  -H 'Content-Type: application/json' -d '${body.replaceAll("'", "'\\''")}'`,
  ].join("\n");
}

function python({ body, cut, stream, url, withKey }: Parts): string {
  const literal = `json.loads(r"""${body.replaceAll('"""', '\\u0022\\u0022\\u0022')}""")`;
  return [
    "import json, os, urllib.request",
    "",
    ...(cut ? [`# ${cut}`] : []),
    `body = ${literal}`,
    `headers = {"content-type": "application/json", "accept": "${stream ? "application/x-ndjson" : "application/json"}"}`,
    ...(withKey ? [`headers["authorization"] = "Bearer " + os.environ["EXTRACTD_API_KEY"]`] : []),
    `request = urllib.request.Request("${url}", json.dumps(body).encode(), headers)`,
    "with urllib.request.urlopen(request) as response:",
    ...(stream
      ? ["    for line in response:  # each result as it completes; the summary last", "        print(json.loads(line))"]
      : ["    for result in json.load(response)[\"results\"]:", "        print(result)"]),
  ].join("\n");
}

function typescript({ body, cut, stream, url, withKey }: Parts): string {
  return [
    ...(cut ? [`// ${cut}`] : []),
    `const body = ${body};`,
    `const response = await fetch("${url}", {`,
    `  method: "POST",`,
    `  headers: {`,
    `    "content-type": "application/json",`,
    `    accept: "${stream ? "application/x-ndjson" : "application/json"}",`,
    ...(withKey ? ["    authorization: `Bearer ${process.env.EXTRACTD_API_KEY}`,"] : []),
    `  },`,
    `  body: JSON.stringify(body),`,
    `});`,
    `if (!response.ok) throw new Error(await response.text());`,
    ...(stream
      ? [
          `let rest = "";`,
          `for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {`,
          `  const lines = (rest + part).split("\\n");`,
          `  rest = lines.pop()!;`,
          `  for (const line of lines) console.log(JSON.parse(line)); // each result as it completes; the summary last`,
          `}`,
        ]
      : [`const { results } = await response.json();`, `console.log(results);`]),
  ].join("\n");
}
