"""The hook bus: parts announce what happens, and whoever is attached hears of it.

    import brama.telemetry

    def slow(event, measurements, metadata, config):
        if measurements["duration"] > config:
            print(metadata["subscription"], measurements["duration"])

    brama.telemetry.attach("slow-handlers", "brama.notification.process.stop", slow, 0.5)

After Erlang's `telemetry`: an occurrence has a name, measurements (numbers) and metadata (whom it
is about). OpenTelemetry is one listener, the plain log lines are another, yours are a third.
The names that Brama announces are listed in `brama.telemetry.names.HOOKS`; announce your own
under a prefix of your own.

Listeners are called in the thread, task and moment of the occurrence, one after the other, in the
order of their attaching. So they must be quick and must not block; what takes time belongs into a
subscription (`brama.subscribe`), which has a mailbox and a worker.
"""

from __future__ import annotations

import inspect
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Final

import attrs

from .errors import ConfigError
from .faults import report
from .forks import renew_after_fork
from .hook_names import HANDLER_FAILURE

__all__ = [
    "Attachment",
    "Handler",
    "Occurrence",
    "attach",
    "attached",
    "detach",
    "execute",
    "handlers",
    "span",
    "watch",
]

Measurements = Mapping[str, int | float]
Metadata = Mapping[str, Any]
Handler = Callable[[str, Measurements, Metadata, Any], object]
"""What is called: ``handler(event, measurements, metadata, config)``."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_REMEMBERED: Final = 1024
"""Names whose listeners are remembered. Names are meant to be few; more are merely slower."""


@attrs.frozen(eq=False)
class Attachment:
    """One listener: who it is, what it listens to, what is called and with which `config`."""

    id: str
    events: tuple[str, ...]
    handler: Handler
    config: Any = None

    def hears(self, event: str) -> bool:
        """Whether one of its names is `event`, or a pattern that ends in ``*`` and covers it."""
        return any(
            event.startswith(name[:-1]) if name.endswith("*") else event == name
            for name in self.events
        )


class _Bus:
    """Who is attached.

    Invariant: `attached` and `routes` are replaced whole, under the lock; what they held is
    never changed, but that `routes` gains names. So `execute` reads without a lock, and an
    occurrence goes to those who were attached when it was announced.
    """

    __slots__ = ("__weakref__", "attached", "changed", "lock", "routes")

    def __init__(self) -> None:
        self.attached: Mapping[str, Attachment] = {}
        self.routes: dict[str, tuple[Attachment, ...]] = {}
        self.changed: tuple[Callable[[], object], ...] = ()
        self.lock = threading.RLock()  # a watcher may attach or detach
        renew_after_fork(self)

    def route(self, event: str, routes: dict[str, tuple[Attachment, ...]]) -> Any:
        """Who hears `event`, looked up once and remembered in `routes`."""
        found = tuple(each for each in self.attached.values() if each.hears(event))
        # `routes` was read before `attached`: had it been renewed in between, nobody looks at
        # this one any more, and it may hold what it likes.
        if len(routes) < _REMEMBERED:
            routes[event] = found
        return found

    def replace(self, attached: Mapping[str, Attachment]) -> None:
        """Under the lock."""
        # In this order: a route that is looked up in between goes into the old dict.
        self.attached = attached
        self.routes = {}
        for changed in self.changed:
            changed()

    def after_fork(self) -> None:
        """Whoever held the lock is not there to release it. Listeners stay attached."""
        self.lock = threading.RLock()


_bus: Final = _Bus()


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
    attachment = Attachment(_checked_id(id), _checked(events), _checked_handler(handler), config)
    with _bus.lock:
        if id in _bus.attached:
            raise ConfigError(
                "id",
                "one that no listener has yet",
                id,
                hint=f"Detach the other one first: brama.telemetry.detach({id!r}).",
            )
        _bus.replace({**_bus.attached, id: attachment})
    return attachment


def detach(id: str) -> bool:
    """End what `attach` began; whether a listener had that id.

    Threads: any, the listener's own call included.
    """
    with _bus.lock:
        if id not in _bus.attached:
            return False
        _bus.replace({key: each for key, each in _bus.attached.items() if key != id})
        return True


def handlers(event: str | None = None) -> list[Attachment]:
    """Who is attached, in the order of attaching; with `event`, those who hear it."""
    return [each for each in _bus.attached.values() if event is None or each.hears(event)]


def attached(event: str) -> bool:
    """Whether anyone hears `event`: the test before measuring what nobody wants to know.

    Threads: any; no lock. About 0.1 µs.
    """
    bus = _bus
    if not bus.attached:
        return False
    routes = bus.routes
    found = routes.get(event)
    return bool(bus.route(event, routes) if found is None else found)


def watch(changed: Callable[[], object]) -> None:
    """Call `changed` whenever a listener comes or goes, and once now.

    For those to whom even `attached` is too dear: they keep a flag of their own.
    """
    with _bus.lock:
        _bus.changed = (*_bus.changed, changed)
        changed()


def unwatch(changed: Callable[[], object]) -> None:
    """End what `watch` began."""
    with _bus.lock:
        _bus.changed = tuple(each for each in _bus.changed if each != changed)


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

    Failure: none of its own; see `attach`. `KeyboardInterrupt` and `SystemExit`, which a signal
    may raise at any line, pass through.
    Threads: any, never under a lock. About 0.1 µs while nobody is attached at all.
    """
    bus = _bus
    if not bus.attached:
        return
    routes = bus.routes
    found = routes.get(event)
    if found is None:
        found = bus.route(event, routes)
    for attachment in found:
        try:
            attachment.handler(event, measurements, metadata, attachment.config)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a listener is never fatal
            _failed(attachment, event, error)


def _failed(attachment: Attachment, event: str, error: BaseException) -> None:
    with _bus.lock:
        # Two threads may fail in it at once, and the id may be another listener's by now.
        first = _bus.attached.get(attachment.id) is attachment and detach(attachment.id)
    if not first:
        return
    report(f"listener {attachment.id!r} of {event!r} raised and was detached; it", error)
    execute(
        HANDLER_FAILURE,
        {"system_time": time.time(), "monotonic_time": time.monotonic()},
        {
            "id": attachment.id,
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
    """
    return Occurrence(event, metadata)


def reset() -> None:
    """Detach everyone; for tests."""
    with _bus.lock:
        _bus.replace({})


def _checked_id(id: object) -> str:
    if not isinstance(id, str) or not id:
        raise ConfigError("id", "a name", id)
    return id


def _checked(events: str | Iterable[str]) -> tuple[str, ...]:
    try:
        names = (events,) if isinstance(events, str) else tuple(events)
    except TypeError:
        raise ConfigError("events", "a name, or a list of names", events) from None
    if not names:
        raise ConfigError("events", "at least one name", names)
    name: Any
    for name in names:
        if not isinstance(name, str) or not name:
            raise ConfigError("events", "names such as 'brama.circuit.transition'", name)
        if "*" in name[:-1]:
            raise ConfigError("events", "names with a '*' at their end only", name)
    return names


def _checked_handler(handler: object) -> Handler:
    if not callable(handler):
        raise ConfigError("handler", "a function (event, measurements, metadata, config)", handler)
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - its colour is asked for, not its presence
    ):
        raise ConfigError(
            "handler",
            "a plain function, for nobody would await it",
            handler,
            hint="Subscribe an async handler to events instead: brama.subscribe(handler, …).",
        )
    try:
        inspect.signature(handler).bind("event", {}, {}, None)
    except TypeError:
        raise ConfigError(
            "handler", "callable as handler(event, measurements, metadata, config)", handler
        ) from None
    except ValueError:  # some builtins have no signature
        pass
    return handler
