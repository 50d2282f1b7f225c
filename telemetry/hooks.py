"""The hook bus: parts announce what happens, and whoever is attached hears of it.

    import brama.telemetry

    def slow(event, measurements, metadata, config):
        if measurements["duration"] > config:
            print(metadata["subscription"], measurements["duration"])

    brama.telemetry.attach("slow-handlers", "brama.notification.process.stop", slow, 0.5)

After Erlang's `telemetry`: an occurrence has a name, measurements (numbers) and metadata (whom it
is about). OpenTelemetry is one listener, yours are others. Besides listeners there are enrichers,
which add to the metadata (`enrichers`), and severity providers (`severity`). The names that Brama
announces are listed in `brama.telemetry.names.HOOKS`; announce your own under a prefix of your own.

Listeners are called in the thread, task and moment of the occurrence, one after the other, in the
order of their attaching. So they must be quick and must not block; what takes time belongs into a
subscription (`brama.subscribe`), which has a mailbox and a worker.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Final

from .bus import BUSES, ENRICHERS, LISTENERS, Attachment, Bus, made
from .errors import ConfigError
from .faults import report
from .hook_names import HANDLER_FAILURE

__all__ = [
    "Attachment",
    "Handler",
    "Occurrence",
    "attach",
    "attached",
    "detach",
    "enrichment",
    "execute",
    "failed",
    "handlers",
    "span",
    "watch",
]

Measurements = Mapping[str, int | float]
Metadata = Mapping[str, Any]
Handler = Callable[[str, Measurements, Metadata, Any], object]
"""What is called: ``handler(event, measurements, metadata, config)``."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_ARGUMENTS: Final = ("event", "measurements", "metadata", "config")


def attach(
    id: str,
    events: str | Iterable[str],
    handler: Handler,
    config: Any = None,
) -> Attachment:
    """Have `handler` called at each occurrence of `events`.

    Example:
        >>> heard = []
        >>> def listen(event, measurements, metadata, config):
        ...     heard.append((event, measurements["rows"], config))
        >>> _ = attach("importer", "shop.import.*", listen, "nightly")
        >>> execute("shop.import.done", {"rows": 3})
        >>> heard
        [('shop.import.done', 3, 'nightly')]
        >>> detach("importer")
        True

    Args:
        id: names the listener, for `detach` and for reports; one listener per id.
        events: one name, or several. A trailing ``*`` stands for any rest: ``brama.circuit.*``,
            or ``*`` alone for everything.
        handler: ``handler(event, measurements, metadata, config)``, a plain function. It gets
            the announcer's own mappings and must not change them. What it returns is ignored.
        config: handed to it as it is.

    Raises:
        ConfigError: the id is taken, a name is empty or has a ``*`` before its end, or `handler`
            cannot be called so (a coroutine function would never be awaited).

    Failure: a handler that raises is detached, and reported by a log line (at most one a minute)
    and by `brama.telemetry.handler_failure`; whoever announced does not notice.
    Threads: any. Occurrences already being announced may still miss it, or, on `detach`, reach it.
    """
    return LISTENERS.add(made(id, events, handler, config, arguments=_ARGUMENTS))


def detach(id: str | Attachment) -> bool:
    """End what `attach`, `enrich`, `enrich_metrics` or `provide_severity` began under this id.

    Args:
        id: the name it was given; or what those returned, which ends this one alone and not
            another that has its name by now.

    Returns:
        Whether anyone had it.

    Raises:
        ConfigError: it is neither.

    Threads: any, the listener's own call included.
    """
    if isinstance(id, Attachment):
        return any(bus.drop(id) for bus in BUSES)
    given: Any = id
    if not isinstance(given, str):
        raise ConfigError("id", "a name, or what attach() returned", given)
    ended = [bus.remove(id) for bus in BUSES]  # all of them, whoever comes first
    return any(ended)


def handlers(event: str | None = None) -> list[Attachment]:
    """Who is attached, in the order of attaching; with `event`, those who hear it."""
    return [each for each in LISTENERS.attached.values() if event is None or each.hears(event)]


def attached(event: str) -> bool:
    """Whether anyone hears `event`: the test before measuring what nobody wants to know.

    Threads: any; no lock. About 0.1 µs.
    """
    bus = LISTENERS
    return bool(bus.attached) and bool(bus.those_for(event))


def watch(changed: Callable[[], object]) -> None:
    """Call `changed` whenever a listener comes or goes, and once now.

    For those to whom even `attached` is too dear: they keep a flag of their own.
    """
    with LISTENERS.lock:
        LISTENERS.changed = (*LISTENERS.changed, changed)
        changed()


def unwatch(changed: Callable[[], object]) -> None:
    """End what `watch` began."""
    with LISTENERS.lock:
        LISTENERS.changed = tuple(each for each in LISTENERS.changed if each != changed)


def execute(
    event: str,
    measurements: Measurements = _NOTHING,
    metadata: Metadata = _NOTHING,
) -> None:
    """Announce one occurrence to those who hear it.

    Example:
        >>> execute("shop.import.done", {"rows": 120, "duration": 0.8}, {"source": "nightly"})

    Args:
        event: its name, words joined by dots.
        measurements: numbers, by name.
        metadata: whom it is about, by name; any values.

    Raises:
        ConfigError: somebody is attached, and `event` is no text.

    Failure: none of its own; see `attach`. `KeyboardInterrupt` and `SystemExit`, which a signal
    may raise at any line, pass through.
    Threads: any, never under a lock. About 0.1 µs while nobody is attached at all.
    """
    bus = LISTENERS
    if not bus.attached:
        return
    routes = bus.routes
    try:
        found = routes.get(event)
    except TypeError:  # no name at all, which `route` refuses
        found = None
    if found is None:
        found = bus.route(event, routes)
    if found and ENRICHERS.attached:
        added = enrichment(event, metadata)
        if added:
            metadata = _Enriched(metadata, added)
    for attachment in found:
        try:
            attachment.handler(event, measurements, metadata, attachment.config)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a listener is never fatal
            failed(bus, attachment, event, error)


class _Enriched(dict[str, Any]):
    """Metadata with what enrichers have added, which remembers what that was."""

    __slots__ = ("added",)

    def __init__(self, metadata: Metadata, added: Metadata) -> None:
        super().__init__({**added, **metadata})
        self.added = added


def enrichment(event: str, metadata: Metadata) -> Metadata:
    """What the enrichers of `event` add to its metadata, under names that it has not got."""
    if not ENRICHERS.attached:
        return _NOTHING
    if isinstance(metadata, _Enriched):
        return metadata.added
    added: dict[str, Any] = {}
    for attachment in ENRICHERS.those_for(event):
        try:
            more = attachment.handler(event, metadata)
            if more is not None:
                added.update(_named(more))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - an enricher is never fatal
            failed(ENRICHERS, attachment, event, error)
    return {name: value for name, value in added.items() if name not in metadata}


def _named(more: Any) -> dict[str, Any]:
    named: dict[Any, Any] = dict(more)
    for name in named:
        if not isinstance(name, str) or not name:
            raise TypeError(f"an enricher returns values by name, got the name {name!r}")
    return named


def failed(bus: Bus, attachment: Attachment, event: str, error: BaseException) -> None:
    """One of `bus` has raised: it is detached, and that is reported, once."""
    # Two threads may fail in it at once, and the id may be another's by now.
    if not bus.drop(attachment):
        return
    report(f"{bus.role} {attachment.id!r} of {event!r} raised and was detached; it", error)
    execute(
        HANDLER_FAILURE,
        {"system_time": time.time(), "monotonic_time": time.monotonic()},
        {
            "id": attachment.id,
            "role": bus.role,
            "event": event,
            "events": attachment.events,
            "handler": attachment.handler,
            "config": attachment.config,
            "kind": "error" if isinstance(error, Exception) else "exit",
            "reason": error,
            "stacktrace": "".join(traceback.format_exception(error)),
        },
    )


class Occurrence:
    """Something that takes time: what `span` returns, for one ``with``.

    The block gets a dict: what it puts there is added to the metadata of its end.

    Threads: it may be entered in one thread and left in another; one entry only.
    """

    __slots__ = ("_event", "_metadata", "_since", "_stop")

    def __init__(self, event: str, metadata: Metadata) -> None:
        self._event = event
        self._metadata = metadata
        self._stop: dict[str, Any] | None = None
        self._since = 0.0

    def __enter__(self) -> dict[str, Any]:
        self._stop = stop = {**self._metadata, "telemetry_span_context": object()}
        self._since = time.monotonic()
        execute(
            f"{self._event}.start",
            {"monotonic_time": self._since, "system_time": time.time()},
            dict(stop),
        )
        return stop

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback_: TracebackType | None,
    ) -> None:
        now = time.monotonic()
        measurements = {
            "duration": now - self._since,
            "monotonic_time": now,
            "system_time": time.time(),
        }
        metadata = self._stop or {}
        if exc is None:
            execute(f"{self._event}.stop", measurements, metadata)
            return
        kind = "error" if isinstance(exc, Exception) else "exit"
        failure = {**metadata, "kind": kind, "reason": exc, "stacktrace": traceback_}
        execute(f"{self._event}.exception", measurements, failure)


def span(event: str, metadata: Metadata = _NOTHING) -> Occurrence:
    """Announce the beginning and the end of a block: ``.start``, then ``.stop`` or ``.exception``.

    Example:
        >>> with span("shop.import", {"source": "nightly"}) as stop:
        ...     stop["rows"] = 120

    ``.start`` measures `monotonic_time` and `system_time`; the other two `duration`, too, all in
    seconds. The metadata of the three have a common `telemetry_span_context`, by which a listener
    finds those that belong together; ``.exception`` adds `kind` (``error``, or ``exit`` for a
    cancellation and whatever else is no `Exception`), `reason` and `stacktrace`. The exception
    goes on its way.

    A plain ``with``, in functions of either colour. For spans of OpenTelemetry use its own API.

    Raises:
        ConfigError: `event` is no name, or `metadata` no mapping.
    """
    given: Any = event
    if not isinstance(given, str) or not given:
        raise ConfigError("event", "a name, words joined by dots", given)
    given = metadata
    if not isinstance(given, Mapping):
        raise ConfigError("metadata", "a mapping of values by name", metadata)
    return Occurrence(event, metadata)


def reset() -> None:
    """Detach everyone; for tests."""
    for bus in BUSES:
        with bus.lock:
            bus.replace({})
