"""The real server with a simulated provider behind it, on free loopback ports."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[3]
BUILT = Path(os.environ.get("BINARIES", ROOT / "target" / "debug"))


class Server:
    """extractd, which can be killed and started again on the same port and store."""

    def __init__(self, folder: Path, provider: str, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "PATH": os.environ["PATH"],
            "EXTRACTD_LISTEN": f"127.0.0.1:{self.port}",
            "EXTRACTD_DATA_DIR": str(folder),
            "OPENAI_BASE_URL": provider,
            "OPENAI_API_KEY": "none",
            "EXTRACTD_MODEL": "openai/simulated",
            "EXTRACTD_LOG": "error",
            **environment,
        }
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([BUILT / "extractd"], env=self.environment, cwd=self.environment["EXTRACTD_DATA_DIR"])
        for _ in range(200):
            try:
                if httpx.get(f"{self.url}/healthz").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError("extractd did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def upstream(*flags: str) -> tuple[subprocess.Popen[str], str]:
    """Starts a simulated provider and returns it with its base URL."""
    process = subprocess.Popen([BUILT / "upstream-sim", *flags], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    match = re.search(r"http://\S+", process.stdout.readline())
    assert match is not None
    return process, match.group()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    provider, url = upstream("--latency-ms", "20")
    running = Server(tmp_path_factory.mktemp("extractd"), url)
    yield running
    running.kill()
    provider.kill()


@pytest.fixture
def restartable(tmp_path: Path) -> Iterator[Server]:
    provider, url = upstream("--latency-ms", "30")
    running = Server(tmp_path, url, EXTRACTD_MAX_CONCURRENCY="4")
    yield running
    running.kill()
    provider.kill()
