"""What telemetry wants to see at all, as flags: what hot code tests before it does anything.

Nothing of OpenTelemetry is cheap enough for a guarded call but the test of a flag. The flags are
worked out when something changes (a provider, a listener, an option) and merely read elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, get_args
from weakref import WeakMethod

import attrs

from . import hooks, metrics, providers
from .errors import ConfigError, unknown
from .hook_names import CALL_FAILED, CALL_REFUSED, CALL_SUCCEEDED, EVENT_PROCESS
from .throttle import Throttle

__all__ = ["Options", "Relationship", "Spans", "Watching", "follow", "options", "use", "watching"]

Spans = Literal["none", "exceptional", "calls"]
SPANS: Final = get_args(Spans)
Relationship = Literal["child", "link", "none"]
RELATIONSHIPS: Final = get_args(Relationship)


@attrs.frozen
class Options:
    """How much is made visible.

    Attributes:
        spans: of guarded calls: ``"none"``, ``"exceptional"`` (refused calls and failed probes)
            or ``"calls"`` (all of them; each costs some 20 µs and as much again to export).
        sample: with ``"calls"``, the share of calls that get a span, from 0 to 1.
        rate: spans of one kind per second, beyond which they are counted and not made. None is
            without limit. Calls in ``"calls"`` mode are limited by `sample` alone.
        relationship: of a handler's span to its publication: ``"child"`` (and linked), ``"link"``
            or ``"none"``.
    """

    spans: Spans = "exceptional"
    sample: float = 1.0
    rate: float | None = 50.0
    relationship: Relationship = "child"

    def __attrs_post_init__(self) -> None:
        if self.spans not in SPANS:
            raise unknown("spans", self.spans, SPANS)
        if self.relationship not in RELATIONSHIPS:
            raise unknown("span_relationship", self.relationship, RELATIONSHIPS)
        if not _is_number(self.sample) or not 0 <= self.sample <= 1:
            raise ConfigError("sample", "a share from 0 to 1", self.sample)
        if self.rate is not None and not (_is_number(self.rate) and 0 < self.rate < float("inf")):
            raise ConfigError("span_rate", "spans per second, above 0, or None", self.rate)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


BURST: Final = 4
"""Seconds' worth of spans that may be made at once, after a quiet time."""


class Watching:
    """The flags; one instance, `watching`.

    Attributes:
        refusals: a refused call is to be reported to `refused`.
        probes: a failed probe is to be reported to `failed`.
        failures: a failed call is to be reported to `failed`: someone listens for it.
        successes: the same of calls that went well.
        calls: every call is to be wrapped in `call`, for a span or for the time it takes.
        spans: every call is to have a span, or a share of them.
        deliveries: every delivery is to be wrapped in `process`, traced or not.
        gate: while a span is all that a refusal is looked at for, the bucket of those spans: what
            it holds back need not be reported at all.

    Threads: read from any without a lock; written by `refresh`, whose last run holds.
    """

    __slots__ = (
        "calls",
        "deliveries",
        "failures",
        "gate",
        "probes",
        "refusals",
        "spans",
        "successes",
    )

    def __init__(self) -> None:
        self.refusals = False
        self.probes = False
        self.failures = False
        self.successes = False
        self.calls = False
        self.spans = False
        self.deliveries = False
        self.gate: Throttle | None = None


watching: Final = Watching()


class _Current:
    """The options that hold, and the buckets that follow from them."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.buckets: dict[str, Throttle] = {}


_current = _Current(Options())


def options() -> Options:
    """The options that hold."""
    return _current.options


def use(new: Options) -> None:
    """Let these options hold from now on."""
    global _current
    if new != _current.options:  # equal ones would only fill the buckets again
        _current = _Current(new)
    providers.renew()  # the application may have set its provider since the last look


def reset() -> None:
    """Let the default options hold, with full buckets; for tests."""
    global _current
    _current = _Current(Options())
    refresh()


def admit(kind: str) -> int | None:
    """Whether a span of this kind may be made: how many were held back before it, or None.

    What is held back is counted in `brama.telemetry.held_back`.
    """
    bucket = _bucket(kind)
    return 0 if bucket is None else bucket.admit()


def _bucket(kind: str) -> Throttle | None:
    """The bucket of this kind; None if there is no limit."""
    rate = _current.options.rate
    if rate is None:
        return None
    bucket = _current.buckets.get(kind)
    if bucket is None:
        made = Throttle(
            1 / rate,
            burst=max(1, int(rate * BURST)),
            held_back=metrics.held_back.ticks(kind),
        )
        bucket = _current.buckets.setdefault(kind, made)
    return bucket


def follow(changed: Callable[[], object]) -> None:
    """Call the method `changed`, held weakly, whenever the flags are worked out, and once now.

    For those who keep a flag of their own that follows from these. It may be called under a
    breaker's lock and must only set it.
    """
    for id_, ref in _followers.copy().items():
        if ref() is None:
            _followers.pop(id_, None)
    follower = WeakMethod(changed)
    _followers[id(follower)] = follower
    changed()


# Invariant: changed in single steps and read as a copy, so that a finalizer may follow, too, while
# somebody does. By id, for a method is as hashable as its object.
_followers: dict[int, WeakMethod[Callable[[], object]]] = {}


def refresh() -> None:
    """Work the flags out anew."""
    tracing = providers.is_tracing()
    exceptional = tracing and _current.options.spans == "exceptional"
    watching.spans = tracing and _current.options.spans == "calls" and _current.options.sample > 0
    watching.failures = hooks.attached(CALL_FAILED)
    watching.successes = hooks.attached(CALL_SUCCEEDED)
    watching.calls = watching.spans or watching.failures or watching.successes
    # Also with every call in a span: a share of them leaves out most of those which are looked for
    # first.
    heard = hooks.attached(CALL_REFUSED)
    watching.refusals = exceptional or watching.spans or heard
    watching.probes = exceptional or watching.spans or watching.failures
    watching.gate = _bucket("refused") if exceptional and not heard else None
    watching.deliveries = providers.current_meter_provider() is not None or any(
        hooks.attached(f"{EVENT_PROCESS}.{end}") for end in ("start", "stop", "exception")
    )
    for ref in _followers.copy().values():
        changed = ref()
        if changed is not None:
            changed()


hooks.watch(refresh)
providers.watch(refresh)
