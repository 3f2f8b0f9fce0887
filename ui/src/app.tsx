// The frame: navigation, the request for a key, and the view that the address names.
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { apiKey, get, keyRequired, problemOf, setApiKey } from "./lib/api";
import { href, route } from "./lib/route";
import { Labelled } from "./parts/basics";
import { CallersView } from "./views/callers";
import { JobsView } from "./views/jobs";
import { LimitsView } from "./views/limits";
import { ModelsView } from "./views/models";
import { RaceView } from "./views/race";
import { SchemasView } from "./views/schemas";
import { TimelineView } from "./views/timeline";
import { TryView } from "./views/try";

const VIEWS: Record<string, { title: string; view: ComponentType }> = {
  try: { title: "Try", view: TryView },
  race: { title: "Race", view: RaceView },
  timeline: { title: "Timeline", view: TimelineView },
  jobs: { title: "Jobs", view: JobsView },
  limits: { title: "Limits", view: LimitsView },
  models: { title: "Models", view: ModelsView },
  schemas: { title: "Schemas", view: SchemasView },
  callers: { title: "Callers", view: CallersView },
};

const version = signal("");

export function App() {
  const current = VIEWS[route.value.view] ? route.value.view : "try";
  const { title, view: View } = VIEWS[current]!;
  const nav = useRef<HTMLElement>(null);

  useEffect(() => {
    void get<{ version: string }>("/version").then((body) => (version.value = body.version)).catch(() => {});
  }, []);
  useEffect(() => {
    document.title = `${title} · extractd`;
    // Not `scrollIntoView`, which would move the page too.
    const link = nav.current?.querySelector<HTMLElement>("[aria-current]");
    const center = () => {
      if (link && nav.current) nav.current.scrollLeft = link.offsetLeft - nav.current.clientWidth / 2 + link.clientWidth / 2;
    };
    center();
    addEventListener("resize", center);
    return () => removeEventListener("resize", center);
  }, [current]);

  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={href("try")} aria-label="extractd, start">
          <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
            <path d="M11 6c-4 0-3 5-3 7s-3 3-3 3 3 1 3 3-1 7 3 7M21 6c4 0 3 5 3 7s3 3 3 3-3 1-3 3 1 7-3 7" />
            <path d="M13 12.5h6M13 16h6M13 19.5h4" />
          </svg>
          <span>extractd</span>
        </a>
        <nav ref={nav} aria-label="Views">
          {Object.entries(VIEWS).map(([name, entry]) => (
            <a key={name} href={href(name)} aria-current={name === current ? "page" : undefined}>
              {entry.title}
            </a>
          ))}
        </nav>
        <div class="top-end">
          {apiKey.value && (
            <button type="button" class="quiet" onClick={() => { setApiKey(""); location.reload(); }}>
              Forget key
            </button>
          )}
          <a class="quiet-link" href="/docs/">
            API<span class="wide"> reference</span>
          </a>
          <span class="version">{version.value}</span>
        </div>
      </header>
      <main id="main" tabIndex={-1} class={`view view-${current}`}>
        {keyRequired.value ? <KeyForm /> : <View key={current} />}
      </main>
    </>
  );
}

/** Asks for a key, tries it, and keeps it for the session of this tab. */
function KeyForm() {
  const [key, setKey] = useState("");
  const [error, setError] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    setApiKey(key.trim());
    try {
      await get("/v1/models");
      keyRequired.value = false;
    } catch (cause) {
      setApiKey("");
      const { code, detail, title } = problemOf(cause);
      setError(code === "unauthorized" ? "The server does not know this key. Copy it again, or ask who runs the server." : (detail ?? title));
    }
  };
  return (
    <form class="panel key-form" onSubmit={submit}>
      <h1>This server needs a key</h1>
      <p>It is sent with each request to this server only, and kept until you close this tab.</p>
      <Labelled label="API key">
        {(id) => (
          <input
            id={id}
            type="password"
            autocomplete="current-password"
            required
            value={key}
            aria-invalid={Boolean(error)}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        )}
      </Labelled>
      {error && (
        <p class="problem" role="alert">
          {error}
        </p>
      )}
      <button class="primary" type="submit">
        Continue
      </button>
    </form>
  );
}
