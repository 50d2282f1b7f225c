"""Who takes part in the hook bus: listeners, enrichers and severity providers, by id and name.

Each of these is a `Bus` of its own. All are looked up in the same way: lock-free by whoever
announces, under a lock by whoever comes or goes.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import attrs

from .errors import ConfigError
from .forks import renew_after_fork

__all__ = [
    "BUSES",
    "ENRICHERS",
    "LISTENERS",
    "METRIC_ENRICHERS",
    "SEVERITY_PROVIDERS",
    "Attachment",
    "Bus",
    "made",
]

_REMEMBERED: Final = 1024
"""Names whose listeners are remembered. Names are meant to be few; more are merely slower."""


@attrs.frozen(eq=False)
class Attachment:
    """One who takes part: its id, the names it is for, what is called and with which `config`."""

    id: str
    events: tuple[str, ...]
    handler: Callable[..., Any]
    config: Any = None

    def hears(self, event: str) -> bool:
        """Whether one of its names is `event`, or a pattern that ends in ``*`` and covers it."""
        return any(
            event.startswith(name[:-1]) if name.endswith("*") else event == name
            for name in self.events
        )


class Bus:
    """Who is attached, in one role.

    Invariant: `attached` and `routes` are replaced whole, under the lock; what they held is
    never changed, but that `routes` gains names. So `those_for` reads without a lock, and an
    occurrence goes to those who were attached when it was announced.

    Routes are carried over from one to the next, for a change is followed by questions about every
    name (`changed`): looked up anew, ten thousand listeners would take minutes to attach.
    """

    __slots__ = ("__weakref__", "attached", "changed", "lock", "role", "routes")

    def __init__(self, role: str) -> None:
        self.role = role
        self.attached: Mapping[str, Attachment] = {}
        self.routes: dict[str, tuple[Attachment, ...]] = {}
        self.changed: tuple[Callable[[], object], ...] = ()
        self.lock = threading.RLock()  # a watcher may attach or detach
        renew_after_fork(self)

    def those_for(self, event: str) -> tuple[Attachment, ...]:
        """Who hears `event`, in the order of attaching."""
        routes = self.routes
        found = routes.get(event)
        return self.route(event, routes) if found is None else found

    def route(
        self, event: str, routes: dict[str, tuple[Attachment, ...]]
    ) -> tuple[Attachment, ...]:
        """Who hears `event`, looked up once and remembered in `routes`."""
        if not isinstance(event, str):
            raise ConfigError("event", "a name, words joined by dots", event)
        found = tuple(each for each in self.attached.values() if each.hears(event))
        # `routes` was read before `attached`: had that been replaced in between, this one was
        # carried over before, nobody looks at it any more, and it may hold what it likes.
        if len(routes) < _REMEMBERED:
            routes[event] = found
        return found

    def add(self, attachment: Attachment) -> Attachment:
        """Let it take part; raises `ConfigError` if its id is taken."""
        id = attachment.id
        with self.lock:
            if id in self.attached:
                raise ConfigError(
                    "id",
                    f"one that no {self.role} has yet",
                    id,
                    hint=f"Detach the other one first: brama.telemetry.detach({id!r}).",
                )
            routes = {
                event: (*found, attachment) if attachment.hears(event) else found
                for event, found in self.routes.copy().items()
            }
            self._change({**self.attached, id: attachment}, routes)
        return attachment

    def remove(self, id: str) -> bool:
        """Whether one had that id; it takes part no more."""
        with self.lock:
            if id not in self.attached:
                return False
            gone = self.attached[id]
            routes = {
                event: tuple(each for each in found if each is not gone)
                for event, found in self.routes.copy().items()
            }
            self._change({key: each for key, each in self.attached.items() if key != id}, routes)
            return True

    def drop(self, attachment: Attachment) -> bool:
        """`remove` this one and not another that has its id by now; whether it was there."""
        with self.lock:
            return self.attached.get(attachment.id) is attachment and self.remove(attachment.id)

    def replace(self, attached: Mapping[str, Attachment]) -> None:
        """Under the lock, or by a test that is alone."""
        self._change(attached, {})

    def _change(
        self, attached: Mapping[str, Attachment], routes: dict[str, tuple[Attachment, ...]]
    ) -> None:
        # In this order: a route that is looked up in between goes into the old dict, which was
        # carried over already.
        self.attached = attached
        self.routes = routes
        for changed in self.changed:
            changed()

    def after_fork(self) -> None:
        """Whoever held the lock is not there to release it. All stay attached."""
        self.lock = threading.RLock()


LISTENERS: Final = Bus("listener")
ENRICHERS: Final = Bus("enricher")
METRIC_ENRICHERS: Final = Bus("enricher of metrics")
SEVERITY_PROVIDERS: Final = Bus("severity provider")
BUSES: Final = (LISTENERS, ENRICHERS, METRIC_ENRICHERS, SEVERITY_PROVIDERS)


def made(
    id: object,
    events: str | Iterable[str],
    handler: object,
    config: Any = None,
    *,
    arguments: tuple[str, ...],
    option: str = "handler",
) -> Attachment:
    """An attachment of what a user gave, checked.

    Args:
        arguments: with which the handler will be called, by the names the documentation gives.
        option: what the handler is called in errors.

    Raises:
        ConfigError: the id or a name is empty, a name has a ``*`` before its end, or the handler
            cannot be called so.
    """
    if not isinstance(id, str) or not id:
        raise ConfigError("id", "a name", id)
    return Attachment(id, _checked(events), _callable(handler, arguments, option), config)


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


def _callable(handler: object, arguments: tuple[str, ...], option: str) -> Callable[..., Any]:
    shape = f"({', '.join(arguments)})"
    if not callable(handler):
        raise ConfigError(option, f"a function {shape}", handler)
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - its colour is asked for, not its presence
    ):
        raise ConfigError(
            option,
            "a plain function, for nobody would await it",
            handler,
            hint="Subscribe an async handler to events instead: brama.subscribe(handler, …).",
        )
    try:
        inspect.signature(handler).bind(*arguments)
    except TypeError:
        raise ConfigError(option, f"callable as {option}{shape}", handler) from None
    except ValueError:  # some builtins have no signature
        pass
    return handler
