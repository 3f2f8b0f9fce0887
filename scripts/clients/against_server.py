"""Runs the generated clients, then schemathesis over all operations, against the server with a simulated provider."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "clients" / "python" / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

import conftest  # noqa: E402
import use_generated  # noqa: E402

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"
# Statuses that are not a bug: the model's answer to an odd schema may be invalid, or too late.
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "502", "503", "504"]
"""


def run(*command: str, cwd: Path) -> None:
    print("$", *command, flush=True)
    subprocess.run(command, check=True, cwd=cwd, timeout=400)


def main(node: Path) -> None:
    provider, provider_url = conftest.upstream("--latency-ms", "5")
    with tempfile.TemporaryDirectory() as folder:
        server = conftest.Server(Path(folder), provider_url)
        try:
            use_generated.main(server.url)
            run("npx", "--no-install", "tsx", "use_fetch.ts", server.url, cwd=node)
            run("npx", "--no-install", "tsx", "use_heyapi.ts", server.url, cwd=node)
            schemathesis(server.url, Path(folder))
            assert httpx.get(f"{server.url}/healthz").is_success
        finally:
            server.kill()
            provider.kill()


def schemathesis(url: str, folder: Path) -> None:
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    run(
        "schemathesis", f"--config-file={config}", "run", str(ROOT / "openapi" / "openapi.json"), f"--url={url}", f"--checks={CHECKS}", "--phases=examples,coverage,fuzzing",
        "--max-examples=15", "--seed=1", "--request-timeout=20", "--suppress-health-check=all", "--continue-on-failure", "--no-color",
        cwd=folder,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
