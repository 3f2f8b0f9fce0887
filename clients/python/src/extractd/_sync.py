"""Client without async. Generated from `_async.py` by `scripts/unasync.py`; do not edit."""

from __future__ import annotations

import time
import json
import uuid
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from typing import Any, Generic, Literal, TypeVar, overload

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError
from typing_extensions import Unpack

from . import _model
from ._errors import ConnectionBroken, TryLaterError, error_of, error_of_response
from ._model import BatchOptions, Codec, Input, JobOptions, Options, Result
from ._types import Job as JobView
from ._types import Problem

T = TypeVar("T")

_RECONNECT_S = 2.0


class Client:
    """Client of a running extractd.

    `options` are defaults of every extraction. Close the client, or use it with `with`.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8080",
        *,
        api_key: str | None = None,
        http: httpx.Client | None = None,
        **options: Unpack[Options],
    ) -> None:
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        # An extraction takes as long as the server lets it: only connecting has a timeout.
        timeout = httpx.Timeout(None, connect=10.0)
        self._http = http or httpx.Client(timeout=timeout)
        self._base_url = base_url.rstrip("/")
        self._headers = headers
        self._options = options

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    @overload
    def extract(self, kind: type[T], text: str, /, **options: Unpack[Options]) -> T: ...
    @overload
    def extract(self, kind: Mapping[str, Any] | str, text: str, /, **options: Unpack[Options]) -> Any: ...
    def extract(self, kind: Any, text: str, /, **options: Unpack[Options]) -> Any:
        """Returns the object of this type in the text."""
        codec: Codec[Any] = Codec(kind)
        body = _model.request(codec, {**self._options, **options}, input=text)
        response = self._send("POST", "/v1/extract", body)
        return codec.result(response.text).value

    @overload
    def gather(
        self, kind: type[T], texts: Iterable[str | Input], /, *,
        return_exceptions: Literal[False] = False, **options: Unpack[BatchOptions],
    ) -> list[T]: ...
    @overload
    def gather(
        self, kind: type[T], texts: Iterable[str | Input], /, *,
        return_exceptions: Literal[True], **options: Unpack[BatchOptions],
    ) -> list[T | Exception]: ...
    def gather(
        self, kind: Any, texts: Iterable[str | Input], /, *,
        return_exceptions: bool = False, **options: Unpack[BatchOptions],
    ) -> list[Any]:
        """Returns the objects in the order of the texts.

        Raises the exception of the first text that failed; with `return_exceptions`, it is returned in its place.
        """
        results = [result for result in self.as_completed(kind, texts, **options)]
        return _model.ordered(results, return_exceptions)

    def as_completed(
        self, kind: type[T], texts: Iterable[str | Input], /, **options: Unpack[BatchOptions]
    ) -> Generator[Result[T], None, None]:
        """Yields the results as they complete. Leaving the loop cancels the rest."""
        codec = Codec(kind)
        fields = {**self._options, **options}
        body = _model.request(codec, fields, inputs=_model.inputs(texts), stream=True)
        with closing(self._events("/v1/extract/batch", body)) as events:
            for event in events:
                if event.event == "result":
                    yield codec.result(event.data)

    def extract_iterable(
        self, kind: type[T], text: str, /, **options: Unpack[Options]
    ) -> Generator[T, None, None]:
        """Yields the objects of this type in the text, each as soon as the model has written it."""
        elements = _model.Elements(kind)
        body = _model.request(elements.codec, {**self._options, **options}, input=text, stream="items")
        with closing(self._events("/v1/extract", body)) as events:
            for event in events:
                if event.event == "item":
                    for element in elements.item(event.data):
                        yield element
                elif event.event == "result":
                    for element in elements.rest(event.data):
                        yield element

    def partial(self, kind: type[T], text: str, /, **options: Unpack[Options]) -> Generator[T, None, None]:
        """Yields the object while the model writes it; fields not yet known are `None`. The last one is complete."""
        codec = Codec(kind)
        growing: Codec[Any] = Codec(_model.partial_type(kind))
        body = _model.request(codec, {**self._options, **options}, input=text, stream=True)
        with closing(self._events("/v1/extract", body)) as events:
            for event in events:
                if event.event == "partial":
                    yield growing.value(json.loads(event.data)["data"])
                elif event.event == "result":
                    yield codec.result(event.data).value

    def create_job(
        self,
        kind: type[T],
        texts: Iterable[str | Input],
        /,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Job[T]:
        """Creates a durable job. Sends the request again if the connection breaks; it creates one job only."""
        codec = Codec(kind)
        body = _model.request(codec, {**self._options, **options}, inputs=_model.inputs(texts))
        headers = {"idempotency-key": idempotency_key or str(uuid.uuid4())}
        for pause in (0.2, 1.0, 3.0, None):
            try:
                response = self._send("POST", "/v1/jobs", body, headers)
                return Job(self, codec, JobView.model_validate_json(response.content))
            except (ConnectionBroken, TryLaterError) as error:
                if pause is None:
                    raise
                wait = error.retry_after if isinstance(error, TryLaterError) else None
                time.sleep(wait or pause)
        raise AssertionError("unreachable")

    def job(self, kind: type[T], job_id: str, /) -> Job[T]:
        """Returns the job with this ID, such as one that another process created."""
        response = self._send("GET", f"/v1/jobs/{job_id}")
        return Job(self, Codec(kind), JobView.model_validate_json(response.content))

    def _send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        try:
            response = self._http.request(
                method, self._base_url + path, json=body, headers={**self._headers, **(headers or {})}
            )
        except httpx.TransportError as error:
            raise ConnectionBroken(f"no response from {self._base_url}: {error!r}") from error
        if response.is_error:
            raise error_of_response(response.status_code, response.content)
        return response

    @contextmanager
    def _stream(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
    ) -> Generator[httpx.Response, None, None]:
        all_headers = {**self._headers, **(headers or {}), "accept": "text/event-stream", "cache-control": "no-store"}
        try:
            with self._http.stream(
                method, self._base_url + path, json=body, headers=all_headers, timeout=timeout or self._http.timeout
            ) as response:
                if response.is_error:
                    raise error_of_response(response.status_code, response.read())
                yield response
        except (httpx.TransportError, SSEError) as error:
            raise ConnectionBroken(f"the connection to {self._base_url} broke: {error!r}") from error

    def _events(self, path: str, body: Any) -> Generator[ServerSentEvent, None, None]:
        """Yields the events of an extraction. Raises the problem of an `error` event."""
        with self._stream("POST", path, body) as response:
            for event in EventSource(response).iter_sse():
                if event.event == "error":
                    raise error_of(Problem.model_validate_json(event.data))
                yield event
                if event.event == "done":
                    return
        raise ConnectionBroken("the response ended before its `done` event; send the request again")


class Job(Generic[T]):
    """Durable job. `info` is its state when it was last read."""

    def __init__(self, client: Client, codec: Codec[T], info: JobView) -> None:
        self._client = client
        self._codec = codec
        self.info = info
        self.last_event = 0
        """Number of the last event read. Store it, to continue with `results(after=…)` in another process."""

    @property
    def id(self) -> str:
        """ID of the job."""
        return self.info.id

    def refresh(self) -> JobView:
        """Reads and returns the job's state."""
        return self._call("GET", "")

    def cancel(self) -> JobView:
        """Cancels the items that have not ended; recorded results are kept."""
        return self._call("POST", "/cancel")

    def retry(self) -> JobView:
        """Runs the failed, invalid and cancelled items again."""
        return self._call("POST", "/retry")

    def delete(self) -> None:
        """Deletes the job, which must have ended."""
        self._client._send("DELETE", f"/v1/jobs/{self.id}")

    def wait(self, *, reconnect_for: float = 300.0) -> JobView:
        """Waits until the job has ended, and returns its state."""
        with closing(self.results(after=self.last_event, reconnect_for=reconnect_for)) as results:
            for _ in results:
                pass
        return self.refresh()

    def results(
        self, *, after: int = 0, reconnect_for: float = 300.0, silence: float = 60.0
    ) -> Generator[Result[T], None, None]:
        """Yields the results as they complete, each exactly once, until the job has ended.

        Reconnects after the last event when the connection breaks or the server restarts, for at most
        `reconnect_for` seconds without an event. A connection counts as broken after `silence` seconds without a
        byte; the server sends one at least every 15 seconds.
        """
        self.last_event = after
        waited = 0.0
        while True:
            try:
                with closing(self._follow(silence)) as events:
                    for event in events:
                        waited = 0.0
                        if event.event == "result":
                            yield self._codec.result(event.data)
                        elif event.event == "done":
                            return
                    return
            except (ConnectionBroken, TryLaterError):
                pause = min(_RECONNECT_S, 0.2 + waited / 4)
                waited += pause
                if waited > reconnect_for:
                    raise
                time.sleep(pause)

    def _follow(self, silence: float) -> Generator[ServerSentEvent, None, None]:
        """Yields the events after the last one read. Ends without any if none follow."""
        headers = {"last-event-id": str(self.last_event)}
        timeout = httpx.Timeout(None, connect=10.0, read=silence)
        with self._client._stream("GET", f"/v1/jobs/{self.id}/events", None, headers, timeout) as response:
            if response.status_code == httpx.codes.NO_CONTENT:
                return
            for event in EventSource(response).iter_sse():
                if event.event in ("result", "done", "retried"):
                    self.last_event = int(event.id)
                yield event
                if event.event == "done":
                    return
        raise ConnectionBroken("the job's events ended before `done`")

    def _call(self, method: str, action: str) -> JobView:
        response = self._client._send(method, f"/v1/jobs/{self.id}{action}")
        self.info = JobView.model_validate_json(response.content)
        return self.info
