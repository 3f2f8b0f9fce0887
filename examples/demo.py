#!/usr/bin/env python3
"""Seven people, five ways: what one text at a time costs, and what concurrency gives back. `make demo` runs it.

First through the service that runs here with whatever model it has, or through one with the built-in model that is started for
this; then through one whose model is simulated and takes 0.85 s a call, as the article's did, so that the two can be compared.
Exits with 1 unless all seven people were right each time. Only Python's standard library.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing
import urllib.parse

PEOPLE = [
    ("John Smith is a 30-year-old software engineer", ("John Smith", 30, "software engineer")),
    ("Sarah Johnson is a 25-year-old data scientist", ("Sarah Johnson", 25, "data scientist")),
    ("Mike Davis is a 35-year-old product manager", ("Mike Davis", 35, "product manager")),
    ("Lisa Wilson is a 28-year-old UX designer", ("Lisa Wilson", 28, "UX designer")),
    ("Tom Brown is a 32-year-old DevOps engineer", ("Tom Brown", 32, "DevOps engineer")),
    ("Emma Garcia is a 27-year-old frontend developer", ("Emma Garcia", 27, "frontend developer")),
    ("David Lee is a 33-year-old backend developer", ("David Lee", 33, "backend developer")),
]

SCHEMA = {
    "title": "Person",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "occupation": {"type": "string"}},
    "required": ["name", "age", "occupation"],
    "additionalProperties": False,
}



class Way(typing.NamedTuple):
    name: str
    meaning: str
    # What the batch's body says beside the inputs and the schema.
    fields: dict
    article_s: float
    # Calls that take place one after the other.
    waves: int


WAYS = [
    Way("sequential", "one after the other", {"concurrency": 1, "stream": True}, 6.17, 7),
    Way("gather", "all at once; one reply, in the order of the inputs", {}, 0.85, 1),
    Way("as completed", "all at once; each result the moment it is there", {"stream": True}, 0.95, 1),
    Way("gather, limit 2", "never more than two at a time", {"concurrency": 2}, 3.04, 4),
    Way("as completed, limit 2", "never more than two at a time", {"concurrency": 2, "stream": True}, 3.26, 4),
]

DEFAULT_URL = "http://127.0.0.1:8080"
START_LIMIT_S = 30
LOAD_LIMIT_S = 180
REPLY_LIMIT_S = 600


class Failed(Exception):
    """What the demo cannot go on without; its text is for the reader."""


class Service:
    """A running extractd, over HTTP."""

    def __init__(self, url, key=None):
        self.url = url.rstrip("/")
        self.headers = {"content-type": "application/json"}
        if key:
            self.headers["authorization"] = f"Bearer {key}"

    @contextlib.contextmanager
    def ask(self, method, path, body=None, limit_s=REPLY_LIMIT_S):
        """Sends one request; gives the response, its body still to be read."""
        url = urllib.parse.urlsplit(self.url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        with contextlib.closing(kind(url.netloc, timeout=limit_s)) as connection:
            payload = None if body is None else json.dumps(body)
            connection.request(method, url.path + path, payload, self.headers)
            yield connection.getresponse()

    def get(self, path, limit_s=10):
        with self.ask("GET", path, limit_s=limit_s) as response:
            return response.status, json.loads(response.read())

    def is_extractd(self):
        try:
            status, version = self.get("/version", limit_s=3)
            return status == 200 and version.get("name") == "extractd"
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            return False

    def wait_until_ready(self):
        """The built-in model loads in the background."""
        end = time.monotonic() + LOAD_LIMIT_S
        while True:
            with self.ask("GET", "/readyz", limit_s=10) as response:
                reasons = response.read().decode(errors="replace").strip()
                if response.status == 200:
                    return
            if time.monotonic() > end:
                raise Failed(f"{self.url} is not ready after {LOAD_LIMIT_S} s: {reasons}")
            time.sleep(0.1)

    def default_model(self):
        status, models = self.get("/v1/models")
        if status != 200:
            detail = models.get("detail", status)
            raise Failed(f"{self.url} says: {detail}. Its key belongs into EXTRACTD_API_KEY")
        return next(model["id"] for model in models["data"] if model.get("default"))

    def batch(self, fields):
        """Yields each result as it arrives."""
        body = {"inputs": [text for text, _ in PEOPLE], "schema": SCHEMA, **fields}
        with self.ask("POST", "/v1/extract/batch", body) as response:
            if response.status != 200:
                raise Failed(f"{self.url} answers {response.status}: {response.read().decode(errors='replace')}")
            if not fields.get("stream"):
                yield from json.loads(response.read())["results"]
                return
            for name, data in events(response):
                if name == "result":
                    yield data
                elif name == "error":
                    raise Failed(f"the stream broke: {data.get('detail', data)}")
                elif name == "done":
                    return
            raise Failed("the stream ended without `done`")


def events(lines):
    """Server-sent events, each its name and its data."""
    name, data = "message", []
    for line in lines:
        field, _, value = line.decode().rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not field and not value:
            if data:
                yield name, json.loads("\n".join(data))
            name, data = "message", []


class Round:
    """The five ways through one service, printed as they come."""

    def __init__(self, service):
        self.service = service
        self.seconds = []
        self.wrong = 0

    def run(self):
        # The first batch is not measured: the built-in model reads its instructions once, on each of its threads.
        for _ in self.service.batch({}):
            pass
        for way in WAYS:
            print(f"\n  {way.name}: {way.meaning}   {json.dumps(way.fields) if way.fields else ''}".rstrip())
            self.measure(way.fields)
        return self

    def measure(self, fields):
        start = time.monotonic()
        seen = set()
        for result in self.service.batch(fields):
            index = result["index"]
            right = index not in seen and is_right(result)
            seen.add(index)
            self.wrong += not right
            print(f"    {time.monotonic() - start:5.2f} s  {index}  {told(result)}{'' if right else '   WRONG'}")
        self.seconds.append(time.monotonic() - start)
        missing = len(PEOPLE) - len(seen)
        if missing:
            print(f"    {missing} of {len(PEOPLE)} never came   WRONG")
        self.wrong += missing


def is_right(result):
    """Letter case is the model's own affair."""
    data = result.get("data") or {}
    found = (data.get("name"), data.get("age"), data.get("occupation"))
    return [str(value).casefold() for value in found] == [str(value).casefold() for value in PEOPLE[result["index"]][1]]


def told(result):
    if result["status"] == "succeeded":
        return "{name}, {age}, {occupation}".format(**result["data"])
    return f"{result['status']}: {result.get('error', {}).get('detail', 'no reason given')}"


def started(stack, command, environment=None):
    """Starts a program that says `listening on URL`; it ends with the stack. Gives the URL."""
    if not pathlib.Path(command[0]).is_file():
        raise Failed(f"{command[0]} is not there; `make demo` builds it")
    # The caller's own settings must not change what is measured.
    ours = re.compile("EXTRACTD_|OPENAI_|ANTHROPIC_|GEMINI_|.*_proxy$", re.IGNORECASE)
    inherited = {name: value for name, value in os.environ.items() if not ours.match(name)}
    process = stack.enter_context(
        subprocess.Popen(
            command,
            env={**inherited, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    )
    stack.callback(stop, process)
    lines = queue.Queue()
    threading.Thread(target=read_lines, args=(process.stdout, lines), daemon=True).start()
    said = []
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            line = lines.get(timeout=max(0, end - time.monotonic()))
        except queue.Empty:
            line = None
        if line is None:
            raise Failed(f"{command[0]} did not start:\n" + "".join(said))
        said.append(line)
        if found := re.search(r"listening on (http://[^\s;]+)", line):
            return found[1]


def read_lines(stream, lines):
    """Goes on to the end, so that the program never waits for a reader."""
    for line in stream:
        lines.put(line)
    lines.put(None)


def stop(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def own_service(stack, options, environment):
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="extractd-demo-"))
    settings = {"EXTRACTD_LISTEN": "127.0.0.1:0", "EXTRACTD_DATA_DIR": folder, **environment}
    return Service(started(stack, [options.extractd, "serve"], settings))


def real_service(stack, options):
    """The one that runs here, or one with the built-in model."""
    service = Service(options.url or DEFAULT_URL, os.environ.get("EXTRACTD_API_KEY"))
    if service.is_extractd():
        which = f"The service at {service.url}"
    elif options.url:
        raise Failed(f"no extractd answers at {options.url}")
    else:
        service = own_service(stack, options, {"EXTRACTD_MODEL_PATH": os.path.abspath(options.model)})
        which = f"A service started for this, since none runs at {DEFAULT_URL}"
    service.wait_until_ready()
    print(f"1. {which}; its model is {service.default_model()}")
    return service


def simulated_service(stack, options):
    upstream = started(stack, [options.upstream, "--latency-ms", str(options.latency_ms)])
    environment = {"OPENAI_BASE_URL": upstream, "OPENAI_API_KEY": "none-needed", "EXTRACTD_MODEL": "openai/simulated"}
    service = own_service(stack, options, environment)
    service.wait_until_ready()
    print(f"\n2. A service before a simulated model that takes {options.latency_ms / 1000:g} s a call")
    return service


def print_table(real_name, real, simulated, latency_s):
    """The article's seconds beside ours."""
    names = ["article", "simulated", "ideal", real_name]
    widths = [max(len(name), 11) for name in names]
    heads = "  ".join(name.rjust(width) for name, width in zip(names, widths))
    per_call = ["0.85 s/call", f"{latency_s:.2f} s/call", f"{latency_s:.2f} s/call", ""]
    print(f"\n  {'seconds for all seven':26}  {heads}")
    print(f"  {'':26}  {'  '.join(text.rjust(width) for text, width in zip(per_call, widths))}".rstrip())
    for way, of_real, of_simulated in zip(WAYS, real.seconds, simulated.seconds):
        cells = [way.article_s, of_simulated, way.waves * latency_s, of_real]
        print(f"  {way.name:26}  {'  '.join(f'{cell:{width}.2f}' for cell, width in zip(cells, widths))}")
    meanings = [
        "as published: a hosted model, and Python's asyncio",
        "part 2: this service before a model of that latency",
        "the calls that have to follow one another (7, 1, 1, 4, 4), times that latency",
        "part 1: this service with a real model",
    ]
    print()
    for name, meaning in zip(names, meanings):
        print(f"  {name:{max(map(len, names))}}  {meaning}")


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    release = root / "target" / "release"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=os.environ.get("EXTRACTD_URL"), help=f"a running service [EXTRACTD_URL; {DEFAULT_URL}]")
    parser.add_argument("--extractd", default=str(release / "extractd"), help="the service's binary")
    parser.add_argument("--upstream", default=str(release / "upstream-sim"), help="the simulated provider's binary")
    model = root / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    parser.add_argument("--model", default=str(model), help="the built-in model's file")
    parser.add_argument("--latency-ms", type=float, default=850, help="how long the simulated model takes [850]")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    # What was started ends with this program, however it ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    with contextlib.ExitStack() as stack:
        service = real_service(stack, options)
        real_name = service.default_model()
        real = Round(service).run()
    with contextlib.ExitStack() as stack:
        simulated = Round(simulated_service(stack, options)).run()

    print_table(real_name, real, simulated, options.latency_ms / 1000)
    wrong = real.wrong + simulated.wrong
    if wrong:
        print(f"\n  {wrong} of {2 * len(WAYS) * len(PEOPLE)} results were wrong.")
        return 1
    print("\n  All seven people were right, every time.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failed, OSError, http.client.HTTPException) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
