"""Follows a job with each client while the server is killed and started again, and checks that each result came exactly once.

Without `--client`, all of them, one after the other: `sync` and `async` of Python, and `typescript`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
sys.path.insert(0, str(ROOT / "clients" / "python" / "tests"))

import conftest  # noqa: E402

CLIENTS = {
    "sync": [sys.executable, str(HERE / "follow_job.py"), "sync"],
    "async": [sys.executable, str(HERE / "follow_job.py"), "async"],
    "typescript": ["node", str(HERE / "follow_job.mjs")],
}
# Longer than any client takes for its job.
LIMIT_S = 900.0
# Pauses between a kill and the next start: a client that reconnects at once finds nobody for a while.
PAUSES_S = (0.0, 1.0, 3.0)


class Follower:
    """Client in a process of its own, whose output is read as it comes."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def job(self, deadline: float) -> str:
        """Waits until the client has created its job, and returns the ID."""
        while not self.lines:
            assert self.process.poll() is None, "the client ended before it created a job"
            assert time.monotonic() < deadline, "the client created no job in time"
            time.sleep(0.01)
        return self.lines[0]

    def results(self, deadline: float) -> list[str]:
        """Waits for the client's end, and returns the lines of its results."""
        code = self.process.wait(timeout=max(deadline - time.monotonic(), 1.0))
        assert code == 0, f"the client ended with exit code {code}"
        self.reader.join(timeout=10.0)
        return self.lines[1:]


def recorded(server: conftest.Server, job: str) -> int:
    """Returns the number of results in the store."""
    return int(httpx.get(f"{server.url}/v1/jobs/{job}").raise_for_status().json()["counts"]["succeeded"])


def run(client: str, items: int, kills: int) -> None:
    """Lets one client follow a job through the kills, and checks what it received."""
    deadline = time.monotonic() + LIMIT_S
    # Slow enough that the last kill comes before the end, whatever the machine.
    provider, provider_url = conftest.upstream("--latency-ms", "60")
    with tempfile.TemporaryDirectory() as folder:
        server = conftest.Server(Path(folder), provider_url, EXTRACTD_MAX_CONCURRENCY="32")
        follower = Follower([*CLIENTS[client], server.url, str(items)])
        try:
            job = follower.job(deadline)
            at = []
            for kill in range(kills):
                while recorded(server, job) < items * (kill + 1) // (kills + 1):
                    assert time.monotonic() < deadline, "the job does not get on"
                    time.sleep(0.01)
                at.append(recorded(server, job))
                assert at[-1] < items, "the job ended before the last kill; give it more items"
                server.kill()
                time.sleep(PAUSES_S[kill % len(PAUSES_S)])
                server.start()
            lines = follower.results(deadline)
            check(lines, items)
            total = recorded(server, job)
            assert total == items, f"the store has {total} results"
            print(f"{client}: {items} results, each exactly once; killed after {', '.join(map(str, at))}", flush=True)
        finally:
            follower.process.kill()
            server.kill()
            provider.kill()


def check(lines: list[str], items: int) -> None:
    """Checks that there is one result for each input, and that it is that of the input."""
    received = Counter(int(line.split()[0]) for line in lines)
    twice = [index for index, count in received.items() if count > 1]
    missing = [index for index in range(items) if index not in received]
    assert not twice, f"{len(twice)} results came more than once, such as {twice[:5]}"
    assert not missing, f"{len(missing)} results did not come, such as {missing[:5]}"
    assert len(received) == items, "there are results that nobody asked for"
    for line in lines:
        index, age = line.split()
        assert index == age, f"result {index} is that of the text {age}"


def main() -> None:
    """Runs the chosen clients."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--client", choices=list(CLIENTS), action="append", dest="clients")
    arguments = parser.parse_args()
    for client in arguments.clients or CLIENTS:
        run(client, arguments.items, arguments.kills)


if __name__ == "__main__":
    main()
