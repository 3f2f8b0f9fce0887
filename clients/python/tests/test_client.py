"""Both clients against the real server."""

from __future__ import annotations

import asyncio
import datetime
import signal
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from conftest import Server
from httpx_sse import ServerSentEvent
from pydantic import BaseModel, ConfigDict

import extractd
from extractd import AsyncClient, Client
from extractd._model import Codec


class Person(BaseModel):
    name: str
    age: int
    occupation: str


class Event(BaseModel):
    model_config = ConfigDict(strict=True)

    title: str
    on: datetime.date


JOHN = "John Smith is a 30-year-old software engineer"
TEXTS = [f"Person {number} is a {20 + number}-year-old engineer" for number in range(12)]


def test_sync_client(server: Server) -> None:
    with Client(server.url, temperature=0) as client:
        person = client.extract(Person, JOHN)
        assert isinstance(person, Person)
        people = client.gather(Person, TEXTS, concurrency=4)
        assert len(people) == len(TEXTS) and all(isinstance(person, Person) for person in people)
        indexes = [result.index for result in client.as_completed(Person, TEXTS)]
        assert sorted(indexes) == list(range(len(TEXTS)))
        assert all(isinstance(person, Person) for person in client.extract_iterable(Person, JOHN))
        *_, last = client.partial(Person, JOHN)
        assert isinstance(last, Person)
        job = client.create_job(Person, TEXTS)
        assert sorted(result.index for result in job.results()) == list(range(len(TEXTS)))
        assert job.wait().status.value == "completed"
        again = client.job(Person, job.id)
        assert [result.ok for result in again.results()] == [True] * len(TEXTS)
        again.delete()
        with pytest.raises(extractd.NotFoundError):
            client.job(Person, job.id)


def test_evidence(server: Server) -> None:
    with Client(server.url) as client:
        text = f"\U0001f469\u200d\U0001f467 {JOHN}"
        [result] = client.as_completed(Person, [text], grounding="report")
        assert result.evidence is not None
        stated = {leaf.pointer: [text[span.start : span.end] for span in leaf.spans] for leaf in result.evidence}
        assert stated == {"/name": ["John Smith"], "/age": ["30"], "/occupation": ["software engineer"]}
        [plain] = client.as_completed(Person, [text])
        assert plain.evidence is None


def test_async_client(server: Server) -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as client:
            person = await client.extract(Person, JOHN)
            assert isinstance(person, Person)
            one_by_one = [await client.extract(Person, text) for text in TEXTS]
            assert await client.gather(Person, TEXTS) == one_by_one
            results = [result async for result in client.as_completed(Person, TEXTS, concurrency=3)]
            assert {result.index: result.value for result in results} == dict(enumerate(one_by_one))
            assert all(result.usage is not None and result.usage.total_tokens > 0 for result in results)
            people = [person async for person in client.extract_iterable(Person, JOHN)]
            assert all(isinstance(person, Person) for person in people)
            versions = [version async for version in client.partial(Person, JOHN)]
            assert versions[-1] == person
            assert all(hasattr(version, "occupation") for version in versions)
            job = await client.create_job(Person, TEXTS, metadata={"run": "1"})
            assert {result.index: result.value async for result in job.results()} == dict(enumerate(one_by_one))
            assert (await job.wait()).metadata == {"run": "1"}

    asyncio.run(main())


def test_types_other_than_a_model(server: Server) -> None:
    with Client(server.url) as client:
        assert isinstance(client.extract(list[Person], JOHN), list)
        data = client.extract({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, JOHN)
        assert isinstance(data["a"], str)


def test_a_strict_model_reads_json() -> None:
    event = Codec(Event).value({"title": "Fair", "on": "2026-03-04"})
    assert event.on == datetime.date(2026, 3, 4)


def test_inputs_keep_ids_and_metadata(server: Server) -> None:
    with Client(server.url) as client:
        [result] = client.as_completed(Person, [{"id": "a", "input": JOHN, "metadata": {"row": "7"}}])
        assert (result.id, result.wire.metadata) == ("a", {"row": "7"})


def test_exceptions(server: Server) -> None:
    with Client(server.url) as client:
        with pytest.raises(extractd.InvalidRequestError) as unknown:
            client.extract(Person, JOHN, model="nobody/nothing")
        assert unknown.value.status == 422 and unknown.value.problem.errors
        with pytest.raises(extractd.InvalidSchemaError):
            client.extract({"type": "nothing"}, JOHN)
        with pytest.raises(extractd.BadRequestError):
            list(client.as_completed(Person, [JOHN], concurrency=0))
        values = client.gather(Person, [JOHN, " "], return_exceptions=True)
        assert isinstance(values[0], Person) and isinstance(values[1], extractd.InvalidRequestError)
        with pytest.raises(extractd.InvalidRequestError):
            client.gather(Person, [JOHN, " "])
        with pytest.raises(TypeError):
            client.gather(Person, JOHN)
        with pytest.raises(extractd.ExtractionFailedError) as failed:
            client.extract(Person, JOHN, max_attempts=1, rules=[{"expression": "false", "message": "never met"}])
        assert failed.value.attempts == 1
    with Client("http://127.0.0.1:9") as nobody, pytest.raises(extractd.ConnectionBroken):
        nobody.extract(Person, JOHN)


def test_leaving_the_loop_cancels_the_rest(server: Server) -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as client:
            async with aclosing(client.as_completed(Person, TEXTS * 50, concurrency=1)) as results:
                async for _ in results:
                    break
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                limits = (await client._send("GET", "/v1/limits")).json()["limits"]
                if all(limit["in_use"] == 0 for limit in limits if limit["kind"] == "concurrency"):
                    return
                await asyncio.sleep(0.05)
            raise AssertionError("the calls were not cancelled")

    asyncio.run(main())


def test_a_job_survives_a_connection_that_is_dead_although_nobody_closed_it(restartable: Server) -> None:
    texts = [f"Person {number} is a {number % 90}-year-old engineer" for number in range(200)]

    def pause() -> None:
        restartable.process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        restartable.process.send_signal(signal.SIGCONT)

    async def main() -> None:
        async with AsyncClient(restartable.url, cache="off") as client:
            job = await client.create_job(Person, texts)
            follows = 0
            follow = job._follow

            def counted(silence: float) -> AsyncGenerator[ServerSentEvent, None]:
                nonlocal follows
                follows += 1
                return follow(silence)

            job._follow = counted  # type: ignore[method-assign]
            indexes = []
            async for result in job.results(silence=0.5):
                indexes.append(result.index)
                if len(indexes) == 20:
                    threading.Thread(target=pause).start()
            assert sorted(indexes) == list(range(len(texts))), "each exactly once"
            assert follows > 1, "it has reconnected"

    asyncio.run(main())


def test_a_job_survives_restarts_of_the_server(restartable: Server) -> None:
    texts = [f"Person {number} is a {number % 90}-year-old engineer" for number in range(300)]
    stopped = threading.Event()

    def restart() -> None:
        for _ in range(3):
            if stopped.wait(0.7):
                return
            restartable.kill()
            time.sleep(0.2)
            restartable.start()

    async def main() -> None:
        async with AsyncClient(restartable.url, cache="off") as client:
            job = await client.create_job(Person, texts)
            thread = threading.Thread(target=restart)
            thread.start()
            indexes = [result.index async for result in job.results(reconnect_for=30)]
            stopped.set()
            await asyncio.to_thread(thread.join)
            assert sorted(indexes) == list(range(len(texts))), "each exactly once"
            assert (await job.refresh()).status.value == "completed"
            rest = [result async for result in job.results(after=job.last_event)]
            assert rest == []

    asyncio.run(main())
