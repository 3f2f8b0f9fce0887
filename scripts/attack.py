#!/usr/bin/env python3
"""Mixed load: callers with ordinary requests, and callers that attack the service, on one server.

Runs the ordinary callers alone for a third of the time, at most two minutes, then together with the attackers. Reports the others'
latency in both parts, the time that /healthz takes, also that of an idle server on the same machine, and the server's memory, also
in each tenth of the time. Then removes the attackers' jobs, and waits until nothing is in use. Fails if /healthz is slow, the
process takes more than the budget (--memory), an ordinary request or job fails, the others' p99 is more than twice that without the
attackers (--p99-ratio), or the server does not return to what it was. Attackers and server share the machine's cores, which they do
not in the field: so the attackers run at the lowest priority (nice 19), and the process that times /healthz at a higher one where
that is permitted. Needs the binaries `extractd` and `upstream-sim`; uses loopback addresses only.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "occupation": {"type": "string"}},
    "required": ["name", "age", "occupation"],
    "additionalProperties": False,
}
# Memory that may remain after the attack beside the most before it, in MiB: caches of schemas and results, and of the store.
SETTLED_MIB = 128
ATTACKS = {}


def attack(function):
    ATTACKS[function.__name__] = function
    return function


class Target:
    """Address of the server, and the key of one of its callers."""

    def __init__(self, port, key, scale):
        self.port, self.key, self.scale = port, key, scale

    async def connect(self, **options):
        return await asyncio.open_connection("127.0.0.1", self.port, **options)

    def head(self, method, path, *lines):
        lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{self.port}", f"authorization: Bearer {self.key}", *lines]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def send(self, method, path, body=b"", *lines, timeout=60):
        """Sends a request on a connection of its own. Returns the status and the body."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            lines = ("content-type: application/json", *lines)
        head = self.head(method, path, f"content-length: {len(body)}", "connection: close", *lines)
        reader, writer = await self.connect()
        try:
            async with asyncio.timeout(timeout):
                writer.write(head + body)
                # A rejected upload is answered before its end.
                answer = await reader.read()
        finally:
            writer.transport.abort()
        status_line, _, rest = answer.partition(b"\r\n")
        if not status_line:
            raise ConnectionError("no answer")
        return int(status_line.split()[1]), rest.partition(b"\r\n\r\n")[2]


def spec(**fields):
    return {"schema": SCHEMA, **fields}


def person(number):
    return f"[item-{number}] Ada Byron is a {20 + number % 60}-year-old tester of part {number}"


def numbers(size):
    """A JSON array of numbers of about this size, which takes far more memory once it is parsed."""
    return "[" + "0," * (size // 2) + "0]"


def wrapped(before, values, after):
    return (before + values + after).encode()


async def hold(target, data, seconds=20, count=20, **options):
    """Opens connections, sends the data on each, and reads nothing."""
    held = []
    try:
        for _ in range(count):
            reader, writer = await target.connect(limit=1024, **options)
            writer.transport.pause_reading()
            writer.write(data)
            held.append(writer)
        await asyncio.sleep(seconds)
    finally:
        for writer in held:
            writer.transport.abort()


async def drip(target, head, piece, pause, seconds=20, count=20):
    """Sends a head and then a piece after each pause."""

    async def one():
        _, writer = await target.connect()
        writer.write(head)
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
        finally:
            writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)


JSON_TYPE = "content-type: application/json"
NDJSON_TYPE = "content-type: application/x-ndjson"
QUERY = "?schema=" + "".join(f"%{byte:02X}" for byte in json.dumps(SCHEMA).encode())


@attack
async def idle_connections(target):
    await hold(target, b"", count=300)


@attack
async def slow_heads(target):
    await drip(target, f"POST /v1/extract HTTP/1.1\r\nhost: 127.0.0.1:{target.port}\r\n".encode(), b"x-a: b\r\n", 1, count=100)


@attack
async def slow_bodies(target):
    head = target.head("POST", "/v1/chat/completions", JSON_TYPE, "content-length: 1000000")
    await drip(target, head, b" ", 1, count=100)


@attack
async def idle_uploads(target):
    for path in ("/v1/extract/batch", "/v1/jobs"):
        head = target.head("POST", path + QUERY, NDJSON_TYPE, "transfer-encoding: chunked")
        await hold(target, head, seconds=10, count=200)


@attack
async def lines_without_end(target):
    for path in ("/v1/extract/batch", "/v1/jobs"):
        head = target.head("POST", path + QUERY, NDJSON_TYPE, "transfer-encoding: chunked")
        await drip(target, head, b"10000\r\n" + b"x" * 65536 + b"\r\n", 0.001, seconds=8, count=8)


@attack
async def long_lines(target):
    head = target.head("POST", "/v1/extract/batch" + QUERY, NDJSON_TYPE, "transfer-encoding: chunked")
    line = b'"' + b"x" * 1000000 + b'"\n'
    await drip(target, head, b"%x\r\n" % len(line) + line + b"\r\n", 0.01, seconds=10, count=8)


async def dense(target, path, before, after, size, times=3):
    body = wrapped(before, numbers(size), after)
    await asyncio.gather(
        *(target.send("POST", path, body, JSON_TYPE, "accept: application/json, text/event-stream") for _ in range(times)),
        return_exceptions=True,
    )


@attack
async def dense_json(target):
    size = target.scale
    schema = json.dumps(SCHEMA)
    await dense(target, "/v1/extract", f'{{"schema":{schema},"input":"a","examples":[{{"input":"a","output":', "}]}", size)
    await dense(target, "/v1/extract", '{"input":"a","schema":{"enum":', "}}", size)
    await dense(target, "/v1/extract", f'{{"schema":{schema},"input":"a","extra_body":{{"a":', "}}", size)
    await dense(target, "/v1/jobs", f'{{"schema":{schema},"inputs":[],"examples":[{{"input":"a","output":', "}]}", size)
    await dense(target, "/v1/extract/batch", f'{{"schema":{schema},"inputs":', "}", size)


@attack
async def dense_chat(target):
    size = target.scale
    await dense(target, "/v1/chat/completions", '{"messages":[{"role":"user","content":"a"}],"tools":', "}", size)
    await dense(target, "/v1/chat/completions", '{"messages":', "}", size)
    await dense(target, "/v1/responses", '{"input":"a","tools":', "}", size)
    await dense(target, "/v1/responses", '{"input":', "}", size)
    parts = '{"role":"user","content":[' + ",".join(['{"type":"text","text":"a"}'] * (size // 40)) + "]}"
    for path, field in (("/v1/chat/completions", "messages"), ("/v1/responses", "input")):
        body = ('{"%s":[' % field + parts + "]}").encode()
        await asyncio.gather(*(target.send("POST", path, body, JSON_TYPE) for _ in range(2)), return_exceptions=True)


@attack
async def dense_mcp(target):
    before = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"extract","arguments":{"input":"a","schema":{"enum":'
    await dense(target, "/mcp", before, "}}}}", target.scale)
    await dense(target, "/mcp", "", "", target.scale)


@attack
async def dense_schemas(target):
    for number in range(2):
        body = wrapped('{"enum":', numbers(target.scale), "}")
        await target.send("PUT", f"/v1/schemas/dense-{number}", body, JSON_TYPE)


@attack
async def deep_json(target):
    for path in ("/v1/extract", "/v1/jobs", "/v1/chat/completions", "/v1/responses", "/mcp"):
        for body in (b"[" * 5_000_000, b'{"a":' * 1_000_000):
            await target.send("POST", path, body, JSON_TYPE)
    await target.send("PUT", "/v1/schemas/deep", b'{"items":' * 1_000_000, JSON_TYPE)


@attack
async def large_texts(target):
    text = "x" * target.scale
    await asyncio.gather(
        target.send("POST", "/v1/extract", spec(input=text)),
        target.send("POST", "/v1/extract", spec(input="a", instructions=text)),
        target.send("POST", "/v1/extract", {"input": "a", "schema": text}),
        target.send("POST", "/v1/extract", spec(input="a", model=text)),
        target.send("POST", "/v1/responses", {"input": text}),
        target.send("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": text}]}),
        return_exceptions=True,
    )


@attack
async def many_schemas(target):
    for number in range(200):
        patterns = {f"p{index}": {"type": "string", "pattern": f"^(a|b{number}){{1,{50 + index}}}$"} for index in range(200)}
        schema = {"type": "object", "properties": patterns}
        if number % 2:
            await target.send("PUT", f"/v1/schemas/n{number}", schema)
        else:
            await target.send("POST", "/v1/extract", {"input": " ", "schema": schema})


@attack
async def many_keys(target):
    async def some(start):
        for number in range(start, start + 200):
            await target.send("POST", "/v1/jobs", spec(inputs=[]), f"idempotency-key: {start}-{number}-{random.random()}")

    await asyncio.gather(*(some(start) for start in range(8)), return_exceptions=True)


@attack
async def many_models(target):
    for number in range(500):
        await target.send("POST", "/v1/extract", spec(input=person(number), model=f"openai/made-up-{random.random()}"))


@attack
async def hurried_creations(target):
    """Leaves while a job is being created."""
    for number in range(300):
        _, writer = await target.connect()
        body = json.dumps(spec(inputs=[person(number)] * 100)).encode()
        key = f"idempotency-key: {random.random()}"
        writer.write(target.head("POST", "/v1/jobs", JSON_TYPE, f"content-length: {len(body)}", key) + body)
        await asyncio.sleep(random.random() * 0.01)
        writer.transport.abort()


@attack
async def impatience(target):
    for number in range(200):
        await target.send("POST", "/v1/extract", spec(input=person(number), timeout_ms=random.choice([1, 20, 60])))


@attack
async def slow_answers(target):
    body = spec(inputs=[f"[slow] {person(number)}" for number in range(100)], timeout_ms=60_000)
    await asyncio.gather(*(target.send("POST", "/v1/extract/batch", body, timeout=90) for _ in range(3)))


@attack
async def failing_calls(target):
    """Calls that fail at once, as those do whose own fields choose a server that is down: the provider itself answers the others."""
    own = {"extra_body": {"user": "a"}}
    # A 429 to a call without fields of the caller's own is the provider's limit, and pauses all.
    for status, fields in ((502, {}), (403, {}), (500, own), (403, own), (429, own)):
        inputs = [f"[status {status}] {person(random.randrange(10**9))}" for _ in range(40)]
        await target.send("POST", "/v1/extract/batch", spec(inputs=inputs, timeout_ms=2_000, **fields))


@attack
async def costly_validation(target):
    """Schemas whose validation takes seconds for an answer of some kilobytes, beside the provider's own answers."""
    branches = [{"type": "array", "items": {"type": "integer", "minimum": 10**9 + number}} for number in range(500)]
    numbers = {"type": "object", "properties": {"numbers": {"anyOf": branches}}}
    examples = [{"input": "a", "output": {"numbers": [1] * 2_000}}]
    await asyncio.gather(*(target.send("POST", "/v1/extract", {"schema": numbers, "examples": examples, "input": person(number)}) for number in range(8)))


@attack
async def long_names(target):
    """Names and values that errors repeat, read by nobody."""
    for path, fields in (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "extractd": {"~" * target.scale: 1}}),
        ("/v1/responses", {"input": "a", "text": {"format": {"type": "t" * target.scale}}}),
        ("/v1/extract", {"schema": "s" * target.scale, "input": "a"}),
    ):
        body = json.dumps(fields).encode()
        await hold(target, target.head("POST", path, JSON_TYPE, f"content-length: {len(body)}") + body, seconds=5, count=3)


@attack
async def equal_singles(target):
    """Singles that share one call, each with evidence of its own, read by nobody."""
    rows = {"type": "array", "items": {"type": "integer"}, "minItems": 5_000}
    schema = {"type": "object", "properties": {"rows": rows}, "required": ["rows"]}
    body = json.dumps({"schema": schema, "input": f"[slow] {random.random()} {'0 ' * 5_000}", "grounding": "report"}).encode()
    await hold(target, target.head("POST", "/v1/extract", JSON_TYPE, f"content-length: {len(body)}") + body, seconds=25, count=50)


@attack
async def unread_batches(target):
    body = json.dumps(spec(inputs=[" "] * 100_000)).encode()
    for accept in ("application/json", "text/event-stream", "application/x-ndjson"):
        head = target.head("POST", "/v1/extract/batch", JSON_TYPE, f"content-length: {len(body)}", f"accept: {accept}")
        await hold(target, head + body, seconds=8, count=6)


@attack
async def unread_jobs(target):
    body = spec(inputs=[" "] * 3_000, metadata={"a": "x" * 60_000})
    jobs = [json.loads((await target.send("POST", "/v1/jobs", body))[1]) for _ in range(30)]
    job = jobs[0].get("id", "missing")
    for path, accept in (
        (f"/v1/jobs/{job}/results", "application/x-ndjson"),
        (f"/v1/jobs/{job}/results?limit=1000", "application/json"),
        (f"/v1/jobs/{job}/events", "text/event-stream"),
        ("/v1/jobs?limit=1000", "application/json"),
    ):
        await hold(target, target.head("GET", path, f"accept: {accept}"), seconds=5, count=50)


@attack
async def unread_pipelines(target):
    for path in ("/openapi.json", "/v1/limits", "/v1/models", "/healthz", "/docs/", "/"):
        await hold(target, target.head("GET", path) * 500, seconds=3, count=20)


@attack
async def unread_without_key(target):
    """Takes connections without a key: responses that are not read, and large heads."""
    stranger = Target(target.port, "no-key", target.scale)
    await hold(stranger, stranger.head("GET", "/openapi.json"), seconds=8, count=600)
    await hold(stranger, stranger.head("GET", "/v1/jobs", f"x-large: {'y' * 90_000}"), seconds=8, count=300)


@attack
async def unread_probes(target):
    stranger = Target(target.port, "no-key", target.scale)
    await hold(stranger, stranger.head("GET", "/healthz"), seconds=3, count=600)


@attack
async def cancelled_jobs(target):
    body = spec(inputs=[{"input": " ", "metadata": {"a": "x" * 60_000}}] * 16)
    jobs = [json.loads((await target.send("POST", "/v1/jobs", body))[1]) for _ in range(60)]
    cancels = (target.send("POST", f"/v1/jobs/{job.get('id', 'missing')}/cancel") for job in jobs)
    await asyncio.gather(*cancels, return_exceptions=True)


@attack
async def dense_jobs(target):
    """Stores requests whose examples take a hundred times their text."""
    inputs = json.dumps([" "] * 50)
    before = f'{{"schema":{{}},"inputs":{inputs},"examples":[{{"input":"a","output":'
    body = wrapped(before, numbers(1_000_000), "}]}")
    for _ in range(8):
        await target.send("POST", "/v1/jobs", body, JSON_TYPE)


@attack
async def echoed_parameters(target):
    """Asks for parameters that a response repeats, and does not read it."""
    for name in ("truncation", "user", "metadata"):
        value = "x" * (target.scale // 4)
        request = {"input": "a", "stream": True, name: {"a": value} if name == "metadata" else value}
        body = json.dumps(request).encode()
        head = target.head("POST", "/v1/responses", JSON_TYPE, f"content-length: {len(body)}")
        await hold(target, head + body, seconds=8, count=4)


@attack
async def unread_chat(target):
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
    message = {"role": "user", "content": person(1) * 1000}
    body = json.dumps({"messages": [message], "response_format": form, "stream": True}).encode()
    head = target.head("POST", "/v1/chat/completions", JSON_TYPE, f"content-length: {len(body)}")
    await hold(target, head + body, seconds=8, count=60)


@attack
async def searches(target):
    async def one():
        for _ in range(50):
            conditions = "&".join(f"metadata.{random.random()}=x" for _ in range(16))
            await target.send("GET", f"/v1/jobs?limit=1000&{conditions}")

    await asyncio.gather(*(one() for _ in range(10)), return_exceptions=True)


@attack
async def malformed(target):
    lines = [
        target.head("POST", "/v1/extract", JSON_TYPE, "transfer-encoding: chunked") + b"1;" + b"x" * 200_000,
        target.head("GET", "/v1/jobs", *(f"x-{index}: {'y' * 200}" for index in range(2_000))),
        target.head("GET", "/" + "a" * 300_000),
        target.head("GET", "/v1/jobs?" + "&" * 300_000),
        target.head("POST", "/v1/extract", JSON_TYPE, "content-length: 10", "content-length: 20"),
        target.head("POST", "/v1/extract", JSON_TYPE, "expect: 100-continue", "content-length: 60000000"),
        target.head("POST", "/v1/extract", JSON_TYPE, "content-encoding: gzip", "content-length: 1000") + os.urandom(1000),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        os.urandom(100_000),
    ]
    for line in lines:
        await hold(target, line, seconds=0.5, count=10)


@attack
async def costly_rules(target):
    nested = "data.name.contains('a')" + "".join(f" || data.name.matches('(a*)*{index}$')" for index in range(60))
    lists = "[" + ",".join("1" for _ in range(500)) + "]"
    rules = [nested, f"{lists}.all(x, {lists}.all(y, {lists}.all(z, x == z)))"]
    for number, rule in enumerate(rules * 10):
        await target.send("POST", "/v1/extract", spec(input=person(number), rules=[{"expression": rule[:4096], "message": "m"}] * 50))


@attack
async def mcp_streams(target):
    accept = "accept: application/json, text/event-stream"
    await hold(target, target.head("GET", "/mcp", accept), seconds=3, count=100)
    start = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}}
    for _ in range(300):
        await target.send("POST", "/mcp", start, accept)


# Longest time without attackers, in seconds.
MAX_ALONE = 120


class Measured:
    """Latencies and failures of one part of the run."""

    def __init__(self):
        self.latencies, self.failures, self.health, self.idle, self.memory = [], [], [], [], []

    def percentile(self, values, share):
        values = sorted(values) or [0.0]
        return values[min(len(values) - 1, int(len(values) * share))] * 1000

    def memory_over_time(self):
        """Returns the largest memory in each tenth of the part, in MiB."""
        size = max(1, -(-len(self.memory) // 10))
        tenths = (self.memory[start : start + size] for start in range(0, len(self.memory), size))
        return ", ".join(str(max(tenth) >> 20) for tenth in tenths)

    def slow(self, health_ms):
        return sum(taken * 1000 > health_ms for taken in self.health)

    def report(self, name, health_ms):
        return (
            f"{name}: {len(self.latencies)} requests, {len(self.failures)} failed, p50 {self.percentile(self.latencies, 0.5):.0f} ms, "
            f"p99 {self.percentile(self.latencies, 0.99):.0f} ms; /healthz p99 {self.percentile(self.health, 0.99):.1f} ms, "
            f"longest {self.percentile(self.health, 1):.1f} ms, {self.slow(health_ms)} of {len(self.health)} above {health_ms:.0f} ms (of an idle server {self.percentile(self.idle, 0.99):.1f} and "
            f"{self.percentile(self.idle, 1):.1f} ms); memory at most {max(self.memory, default=0) >> 20} MiB"
        )


async def ordinary(target, number, until, measured):
    while time.monotonic() < until:
        began = time.monotonic()
        kind = random.random()
        try:
            if kind < 0.7:
                status, body = await target.send("POST", "/v1/extract", spec(input=person(random.randrange(10**9))))
                good = status == 200 and json.loads(body)["status"] == "succeeded"
            elif kind < 0.9:
                inputs = [person(random.randrange(10**9)) for _ in range(5)]
                status, body = await target.send("POST", "/v1/extract/batch", spec(inputs=inputs))
                good = status == 200
            else:
                status, body = await target.send("POST", "/v1/jobs", spec(inputs=[person(number)]))
                good = status == 202
            if not good:
                measured.failures.append(f"{status} {body[:300]!r}")
        except (OSError, TimeoutError, ValueError) as error:
            measured.failures.append(repr(error))
        measured.latencies.append(time.monotonic() - began)
        await asyncio.sleep(random.random() * 0.4)


def resident_bytes(pid):
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


async def ask_health(target, measured):
    """Returns the time that /healthz takes."""
    began = time.monotonic()
    try:
        status, _ = await target.send("GET", "/healthz", timeout=10)
        if status != 200:
            measured.failures.append(f"/healthz {status}")
    except (OSError, TimeoutError) as error:
        measured.failures.append(f"/healthz {error!r}")
    return time.monotonic() - began


async def watch(target, idle, pid, until):
    measured = Measured()
    while time.monotonic() < until:
        measured.health.append(await ask_health(target, measured))
        measured.idle.append(await ask_health(idle, measured))
        measured.memory.append(resident_bytes(pid))
        await asyncio.sleep(0.05)
    return measured


def watch_process(port, idle_port, pid, until):
    """Times /healthz of both servers and reads the memory of the first. A process of its own, so that no other work of a client counts."""
    try:
        os.nice(-10)
    except PermissionError:
        pass
    target, idle = (Target(port, "key-ordinary-000", 0) for port in (port, idle_port))
    return asyncio.run(watch(target, idle, pid, until))


async def attacker(target, names, until, log):
    while time.monotonic() < until:
        name = random.choice(names)
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(1, until - began)):
                await ATTACKS[name](target)
        except (OSError, TimeoutError, ValueError):
            pass
        log.append((name, began, time.monotonic()))


async def run_ordinary(options, port, idle_port, pid, seconds, processes):
    until = time.monotonic() + seconds
    watching = processes.submit(watch_process, port, idle_port, pid, until)
    measured = Measured()
    callers = [ordinary(Target(port, f"key-ordinary-{index:03}", 0), index, until, measured) for index in range(options.callers)]
    await asyncio.gather(*callers)
    watched = await asyncio.wrap_future(watching)
    measured.health, measured.idle, measured.memory = watched.health, watched.idle, watched.memory
    measured.failures += watched.failures
    return measured


async def remove_jobs(target):
    """Removes the jobs of a caller that has left, and returns their number. They are thousands after an hour."""
    removed = 0
    while True:
        status, body = await target.send("GET", "/v1/jobs?limit=20")
        jobs = json.loads(body)["data"] if status == 200 else []
        if not jobs:
            return removed
        answers = await asyncio.gather(*(target.send("DELETE", f"/v1/jobs/{job['id']}") for job in jobs))
        removed += sum(status < 300 for status, _ in answers)


def in_use(limits):
    """Returns what requests and items have in use. Schemas and cached results remain."""
    scopes = ("all", "request_bodies", "inputs", "responses")
    rows = (row for row in limits if row["scope"] in scopes and row["name"] != "memory_bytes")
    return {row["name"]: row["in_use"] for row in rows if row["in_use"]}


async def aftermath(options, port, pid, calm):
    """Removes the attackers' jobs, and returns what is not as it was before the attack."""
    begun = time.monotonic()
    until = begun + options.aftermath
    try:
        async with asyncio.timeout(options.aftermath):
            removals = (remove_jobs(Target(port, f"key-attacker-{index:03}", 0)) for index in range(options.attackers))
            removed = sum(await asyncio.gather(*removals))
            print(f"{removed} jobs of attackers removed in {time.monotonic() - begun:.1f} s", flush=True)
    except TimeoutError:
        return ["the attackers' jobs could not be removed in time"]
    operator, faults = Target(port, "key-operator", 0), []
    for index in range(options.callers):
        target = Target(port, f"key-ordinary-{index:03}", 0)
        while json.loads((await target.send("GET", "/v1/jobs?limit=1&status=queued,running"))[1])["data"]:
            if time.monotonic() > until:
                return ["ordinary jobs do not end"]
            await asyncio.sleep(0.1)
        jobs = json.loads((await target.send("GET", "/v1/jobs?limit=1000"))[1])["data"]
        faults += [f"an ordinary job failed: {job}" for job in jobs if job["status"] != "completed" or job["counts"]["failed"]]
    while used := in_use(json.loads((await operator.send("GET", "/v1/limits"))[1])["limits"]):
        if time.monotonic() > until:
            return faults + [f"still in use: {used}"]
        await asyncio.sleep(0.2)
    # Freed memory returns to the system within seconds.
    most = max(calm.memory) + (SETTLED_MIB << 20)
    while resident_bytes(pid) > most and time.monotonic() < until:
        await asyncio.sleep(0.5)
    after = resident_bytes(pid)
    print(f"afterwards: {after >> 20} MiB, {max(calm.memory) >> 20} before; nothing is in use", flush=True)
    if after > most:
        faults.append("memory is not returned after the attack")
    return faults


def attack_process(options, port, seconds, seed, index):
    """Runs one attacker. A process of its own, which yields to all others, so that it does not slow down the measurement."""
    os.nice(19)
    random.seed(seed * 1000 + index)
    names = options.only.split(",") if options.only else list(ATTACKS)
    log = []
    target = Target(port, f"key-attacker-{index:03}", options.megabytes << 20)
    asyncio.run(attacker(target, names, time.monotonic() + seconds, log))
    return log


def start_upstream(options):
    """Starts the provider. Returns its process and its address."""
    command = [options.upstream, "--port", "0", "--latency-ms", "50", "--jitter", "50", "--slow-ms", "20000"]
    upstream = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    url = ""
    while not url.startswith("http"):
        url = next((word for word in upstream.stdout.readline().split() if word.startswith("http")), "")
    return upstream, url.rstrip("/").removesuffix("/v1")


def start_server(options, folder, url):
    """Starts a server with its files in a folder. Returns its process and its port."""
    os.mkdir(folder)
    callers = [f"ordinary-{index:03}" for index in range(options.callers)]
    callers += [f"attacker-{index:03}" for index in range(options.attackers)]
    config = os.path.join(folder, "extractd.toml")
    with open(config, "w") as file:
        file.write(f'data_dir = "{folder}/data"\nlisten = "127.0.0.1:0"\nmodel = "openai/gpt-4o-mini"\n')
        file.write(f"[limits]\nmax_memory_bytes = {options.memory << 20}\n")
        file.write(f'[providers.openai]\napi_key = "sim"\nbase_url = "{url}/v1"\n')
        file.writelines(f'[callers.{caller}]\nkey = "key-{caller}"\n' for caller in callers)
        file.write('[callers.operator]\nkey = "key-operator"\nrole = "operator"\n')
    log = open(os.path.join(folder, "log"), "w")
    server = subprocess.Popen([options.extractd, "serve", "--config", config], stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    while True:
        with open(log.name) as lines:
            address = next((word for line in lines for word in line.split() if word.startswith("http://127.0.0.1:")), None)
        if address:
            return server, int(address.rstrip(";").rsplit(":", 1)[1])
        if server.poll() is not None:
            raise SystemExit(open(log.name).read())
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extractd", required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--callers", type=int, default=40)
    parser.add_argument("--attackers", type=int, default=10)
    parser.add_argument("--memory", type=int, default=512, help="limits.max_memory_bytes, in MiB")
    parser.add_argument("--megabytes", type=int, default=20, help="size of large bodies")
    parser.add_argument("--health-ms", type=float, default=50, help="largest p99 of /healthz")
    parser.add_argument("--p99-ratio", type=float, default=2, help="largest p99 of ordinary requests, in units of that without attackers")
    parser.add_argument("--aftermath", type=float, default=120, help="longest time until everything is as before, in seconds")
    parser.add_argument("--only", help="attacks, separated by commas: " + ", ".join(ATTACKS))
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    options.extractd, options.upstream = map(os.path.abspath, (options.extractd, options.upstream))
    print(f"seed {options.seed}", flush=True)
    random.seed(options.seed)
    from concurrent.futures import ProcessPoolExecutor

    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(options.attackers + 2, max_tasks_per_child=1) as processes:
        upstream, url = start_upstream(options)
        attacked_folder = os.path.join(folder, "attacked")
        server, port = start_server(options, attacked_folder, url)
        idle, idle_port = start_server(options, os.path.join(folder, "idle"), url)
        try:
            alone = min(options.seconds / 3, MAX_ALONE)
            calm = asyncio.run(run_ordinary(options, port, idle_port, server.pid, alone, processes))
            print(calm.report("alone", options.health_ms), flush=True)
            seconds = options.seconds - alone
            futures = [processes.submit(attack_process, options, port, seconds, options.seed, index) for index in range(options.attackers)]
            attacked = asyncio.run(run_ordinary(options, port, idle_port, server.pid, seconds, processes))
            print(attacked.report("attacked", options.health_ms), flush=True)
            print(f"memory in each tenth of the time, in MiB: {attacked.memory_over_time()}", flush=True)
            done = [entry for future in futures for entry in future.result()]
            print("attacks: " + ", ".join(f"{name} {sum(entry[0] == name for entry in done)}" for name in sorted({entry[0] for entry in done})))
            faults = [f"a request failed: {failure}" for failure in (calm.failures + attacked.failures)[:5]]
            if server.poll() is not None:
                faults.append(f"the server ended with {server.returncode}")
            if attacked.percentile(attacked.health, 0.99) > options.health_ms:
                faults.append("/healthz was slow")
            if attacked.percentile(attacked.latencies, 0.99) > options.p99_ratio * calm.percentile(calm.latencies, 0.99):
                faults.append("ordinary requests were slow")
            if server.poll() is None:
                faults += asyncio.run(aftermath(options, port, server.pid, calm))
            if max(attacked.memory, default=0) > options.memory << 20:
                faults.append("the process took more memory than its budget")
            with open(os.path.join(attacked_folder, "log")) as log:
                faults += [line.strip() for line in log if "panick" in line]
        finally:
            for process in (server, idle):
                process.terminate()
            for process in (server, idle):
                process.wait(60)
            upstream.kill()
    if faults:
        sys.exit("attack: failed\n" + "\n".join(faults))


if __name__ == "__main__":
    main()
