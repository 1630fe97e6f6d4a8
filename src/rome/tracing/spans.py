"""The spans: one for each statement and COMMIT, and below it one for each time that it waits for the store.

Names and attributes follow OpenTelemetry's stable conventions for SQL databases; attributes that these do not define
begin with `rome.`. A span shows a statement's text without any values, and of an error only its class.

Source: https://opentelemetry.io/docs/specs/semconv/db/sql/
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, wraps
from importlib.metadata import version

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace import Tracer as OpenTelemetryTracer

from rome.engine.observing.observer import Tracer, Work, name_of
from rome.engine.result import Stats
from rome.store.location import Location
from rome.store.spi import ReadResult, ScanResult, Store

SCHEMA_URL = "https://opentelemetry.io/schemas/1.33.0"
"""The first version of the conventions in which the part for databases is stable."""

_WAITING = ("read", "commit", "resolve", "join_queue", "leave_queue")
"""The methods of a store that wait for an answer from it."""

Attributes = Mapping[str, str | int]


class SpanTracer(Tracer):
    """Makes the spans of one connection."""

    def __init__(self, provider: TracerProvider, location: Location) -> None:
        self._tracer = _tracer(provider)
        self._location = location
        self._connection = of_connection(location)

    def open_store(self, store: type[Store]) -> Store:
        """Open the location with a store of this class that makes a span of each call that waits for the store.

        Raises:
            rome.errors.Error: as Store.open raises it.
        """
        return _traced(store, self._tracer).open(self._location)

    @contextmanager
    def span(self, work: Work) -> Iterator[None]:
        """A span around the work, with what it cost and whether it failed."""
        name, attributes = _of_work(work)
        with _span(self._tracer, name or "rome", SpanKind.CLIENT, {**self._connection, **attributes}) as span:
            try:
                yield
            finally:
                if span.is_recording():
                    span.set_attributes(_of_cost(work.cost))
                    if work.error is not None:
                        _fail(span, work.error, work.sqlstate)


def of_connection(location: Location) -> Attributes:
    """The attributes that say which database a connection is to."""
    found: dict[str, str | int] = {
        "db.system.name": "rome",
        "db.namespace": location.database,
        "rome.store": location.scheme,
    }
    address = location.options.get("unix_socket") or location.host
    if address is not None:
        found["server.address"] = address
    if location.port is not None:
        found["server.port"] = location.port
    return found


def _of_work(work: Work) -> tuple[str, Attributes]:
    """A span's name, and the attributes that are known when it begins, by which a sampler decides."""
    if work.text is None:
        return work.name, {"db.operation.name": work.name}
    if work.batch_size is None or work.batch_size == 1:
        return work.name, {"db.query.text": work.text, "db.query.summary": work.name}
    name = f"BATCH {work.name}"
    return name, {
        "db.query.text": work.text,
        "db.query.summary": name,
        "db.operation.batch.size": work.batch_size,
    }


def _of_cost(cost: Stats) -> Attributes:
    near = {"rome.near_round_trips": cost.near_trips} if cost.near_trips else {}
    return {
        **near,
        "rome.round_trips": cost.round_trips,
        "rome.waves": cost.waves,
        "rome.rows_read": cost.rows,
        "rome.bytes_read": cost.bytes,
        "rome.rows_written": cost.rows_written,
        "rome.conflicts": cost.conflicts,
        "rome.replays": cost.replays,
    }


def _fail(span: Span, error: str, sqlstate: str | None) -> None:
    """Mark a span as failed. The error's message is left out, since it may quote a value."""
    span.set_status(Status(StatusCode.ERROR, error))
    span.set_attribute("error.type", sqlstate or error)
    if sqlstate is not None:
        span.set_attribute("db.response.status_code", sqlstate)


@lru_cache(maxsize=4)
def _tracer(provider: TracerProvider) -> OpenTelemetryTracer:
    return provider.get_tracer("rome", version("sqlalchemy-rome"), schema_url=SCHEMA_URL)


@contextmanager
def _span(tracer: OpenTelemetryTracer, name: str, kind: SpanKind, attributes: Attributes) -> Iterator[Span]:
    with tracer.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        yield span


@lru_cache(maxsize=16)
def _traced(store: type[Store], tracer: OpenTelemetryTracer) -> type[Store]:
    """A subclass of a store's class that makes a span of each call of a method that waits."""
    methods = {name: _spanned(getattr(store, name), f"rome.{name}", tracer) for name in _WAITING}
    return types.new_class(f"Traced{store.__name__}", (store,), exec_body=lambda body: body.update(methods))


def _spanned(method: Callable[..., object], name: str, tracer: OpenTelemetryTracer) -> Callable[..., object]:
    @wraps(method)
    def spanned(self: Store, *arguments: object) -> object:
        with _span(tracer, name, SpanKind.INTERNAL, {}) as span:
            before, near = self.round_trips, self.near_trips
            try:
                answer = method(self, *arguments)
                if isinstance(answer, ReadResult):
                    span.set_attribute("rome.rows_read", _rows_in(answer))
                return answer
            except BaseException as error:
                _fail(span, *name_of(error))
                raise
            finally:
                span.set_attribute("rome.round_trips", self.round_trips - before)
                if self.near_trips > near:
                    span.set_attribute("rome.near_round_trips", self.near_trips - near)

    return spanned


def _rows_in(result: ReadResult) -> int:
    rows = 0
    for answer in result.answers:
        if isinstance(answer, ScanResult):
            rows += len(answer.rows)
        elif isinstance(answer, list):
            rows += sum(row is not None for row in answer)
    return rows
