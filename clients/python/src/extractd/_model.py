"""Conversion between Python types and the JSON of the API. No input or output happens here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypedDict, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, create_model

from ._errors import CancelledItemError, ExtractdError, InvalidResultError, error_of
from ._types import Evidence, Usage
from ._types import Result as WireResult

T = TypeVar("T")


class Input(TypedDict, total=False):
    """Text with an ID and metadata, which are returned with its result."""

    id: str
    input: str
    metadata: dict[str, str]


class Options(TypedDict, total=False):
    """Options of an extraction; see the API document for each."""

    instructions: str
    examples: list[dict[str, Any]]
    model: str
    mode: Literal["auto", "json_schema", "tools", "json_object", "text"]
    max_attempts: int
    timeout_ms: int
    temperature: float
    max_output_tokens: int
    seed: int
    cache: Literal["use", "refresh", "off"]
    coerce: bool
    rules: list[dict[str, str]]
    on_failure: Literal["error", "best"]
    fallback_on: list[Literal["unavailable", "unknown_model", "too_long", "invalid", "rejected", "refused"]]
    extra_body: dict[str, Any]
    trace: bool
    grounding: Literal["off", "report", "drop", "require"]
    metadata: dict[str, str]


class BatchOptions(Options, total=False):
    """Options of many extractions."""

    concurrency: int
    on_error: Literal["continue", "stop"]


class JobOptions(BatchOptions, total=False):
    """Options of a durable job."""

    webhook: dict[str, str]


@dataclass(frozen=True)
class Result(Generic[T]):
    """Result of one of many texts. `value` returns the data or raises the item's exception."""

    index: int
    id: str | None
    status: Literal["succeeded", "failed", "invalid", "cancelled"]
    error: Exception | None
    usage: Usage | None
    """Tokens and cost of all attempts."""
    wire: WireResult
    """Result as the server sent it."""
    _value: T | None

    @property
    def value(self) -> T:
        """Extracted value.

        Raises the exception in `error` if the item did not succeed.
        """
        if self.error is not None:
            raise self.error
        return cast(T, self._value)

    @property
    def evidence(self) -> list[Evidence] | None:
        """Place in the text of each value, with offsets for `text[start:end]`. Only with the option `grounding`."""
        return self.wire.evidence

    @property
    def ok(self) -> bool:
        """True if the item succeeded."""
        return self.error is None


class Codec(Generic[T]):
    """JSON Schema of a type, and the conversion of results to the type.

    The type is a Pydantic model or anything else that `pydantic.TypeAdapter` accepts. A mapping is a JSON Schema
    itself, a string the name of a registered schema; both return plain data.
    """

    def __init__(self, kind: type[T] | Mapping[str, Any] | str) -> None:
        self._adapter: TypeAdapter[Any] | None = None
        self.schema: Any
        if isinstance(kind, (str, Mapping)):
            self.schema = kind
        else:
            self._adapter = TypeAdapter(kind)
            self.schema = self._adapter.json_schema()

    def value(self, data: Any) -> T:
        """Returns the data as the type."""
        if self._adapter is None:
            return cast(T, data)
        # Through JSON, so that a strict model accepts dates and other types that JSON writes as text.
        return cast(T, self._adapter.validate_json(json.dumps(data)))

    def result(self, data: str) -> Result[T]:
        """Returns the result of an item from its JSON."""
        wire = WireResult.model_validate_json(data)
        error: Exception | None = _error(wire)
        value: T | None = None
        if error is None:
            try:
                value = self.value(wire.data)
            except ValueError as invalid:
                error = invalid
        return Result(
            index=wire.index or 0,
            id=wire.id,
            status=wire.status.value,
            error=error,
            usage=wire.usage,
            wire=wire,
            _value=value,
        )


def _error(wire: WireResult) -> ExtractdError | None:
    match wire.status.value:
        case "succeeded":
            return None
        case "failed" if wire.error is not None:
            return error_of(wire.error)
        case "invalid":
            messages = [f"{error.pointer}: {error.message}" for error in wire.errors or ()]
            return InvalidResultError(wire.candidate, messages)
        case _:
            return CancelledItemError("the item was cancelled with its batch")


def request(codec: Codec[Any], fields: Mapping[str, Any], **own: Any) -> dict[str, Any]:
    """Returns the body of a request."""
    return {"schema": codec.schema, **{name: value for name, value in fields.items() if value is not None}, **own}


def inputs(texts: Iterable[str | Input]) -> list[str | Input]:
    """Returns the inputs of a batch."""
    if isinstance(texts, str):
        raise TypeError("expected a list of texts, got one text; use `extract` for one")
    return list(texts)


def ordered(results: Iterable[Result[T]], return_exceptions: bool) -> list[Any]:
    """Returns the values in input order, with exceptions in their places or the first of them raised."""
    by_index = sorted(results, key=lambda result: result.index)
    if return_exceptions:
        return [result.error if result.error is not None else result.value for result in by_index]
    return [result.value for result in by_index]


class Elements(Generic[T]):
    """Elements of a list that is streamed: each index once, although a validation retry sends some again."""

    def __init__(self, element: type[T]) -> None:
        self.codec: Codec[list[T]] = Codec(list[element])  # type: ignore[valid-type]
        self._element: Codec[T] = Codec(element)
        self._next = 0

    def item(self, data: str) -> Iterable[T]:
        """Returns the element of an `item` event, unless its index was returned before."""
        event = json.loads(data)
        if event["index"] == self._next:
            self._next += 1
            yield self._element.value(event["data"])

    def rest(self, data: str) -> Iterable[T]:
        """Returns the elements of the `result` event that no `item` event had."""
        values = self.codec.result(data).value
        yield from values[self._next :]


def partial_type(kind: Any) -> Any:
    """Returns the type with every field of its models optional, for an object that is not complete."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _partial_model(kind, {})
    return kind


def _partial_model(kind: type[BaseModel], seen: dict[type, Any]) -> Any:
    if kind in seen:
        return seen[kind]
    seen[kind] = Any  # A model within itself stays plain data until it is complete.
    fields: dict[str, Any] = {
        name: (Union[_partial(field.annotation, seen), Any], None) for name, field in kind.model_fields.items()
    }
    seen[kind] = create_model(f"Partial{kind.__name__}", __config__={"extra": "ignore"}, **fields)
    return seen[kind]


def _partial(kind: Any, seen: dict[type, Any]) -> Any:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _partial_model(kind, seen)
    origin, args = get_origin(kind), get_args(kind)
    if origin is list and args:
        return list[_partial(args[0], seen)]  # type: ignore[misc]
    if origin is Union and args:
        return Union[tuple(_partial(arg, seen) for arg in args)]
    return kind
