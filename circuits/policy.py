"""When a circuit opens, how long it stays open, and what closes it again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import attrs

from brama.telemetry import ConfigError, takes_only, unknown, unknown_option

from .kind import Kind as FunctionKind
from .kind import kind_of
from .options import check_function, present_loop, seconds, whole
from .outcome import Outcome, Verdict
from .state import State
from .trip import ConsecutiveFailures, Trip, check_trip, least_failures

__all__ = ["OPTIONS", "Policy", "check_options", "check_policy", "merge"]

STRATEGIES = ("fixed", "progressive")
ALIASES = {"max_attempts": "failure_threshold"}  # the word of the Elixir library
WORDS = {
    "max_failures": "failure_threshold",  # Akka
    "fail_max": "failure_threshold",  # pybreaker, aiobreaker
    "threshold": "failure_threshold",  # purgatory
    "recovery_timeout": "expiry",  # circuitbreaker
    "reset_timeout": "expiry",  # pybreaker
    "timeout_duration": "expiry",  # aiobreaker
    "ttl": "expiry",  # purgatory
    "open_timeout": "expiry",
    "expected_exception": "record",  # circuitbreaker
    "exclude": "ignore",  # pybreaker, aiobreaker, purgatory
    "slow_call_duration_threshold": "slow_after",  # resilience4j, and those below
    "slow_call_rate_threshold": "slow_rate",
    "wait_duration_in_open_state": "expiry",
    "permitted_number_of_calls_in_half_open_state": "half_open_max_calls",
    "failure_rate_threshold": "Give trip=CountWindow(size=..., rate=...) or TimeWindow.",
    "sliding_window_size": "Give trip=CountWindow(size=..., rate=...) or TimeWindow.",
    "minimum_number_of_calls": "Give trip=CountWindow(..., minimum=...) or TimeWindow.",
    "fallback_function": "Give fallback where the call is guarded: @circuit(fallback=...).",
    "listeners": "Listeners are given to brama.subscribe.",
    "timeout": "How long a call may take is its own matter; slow_after counts it as slow.",
    **ALIASES,
}
"""What others call the options, for those who come from there."""
OF_CALLS = ("fallback", "fallback_on", "on_open", "probe")  # each guarded function has its own
STABLE = (State.CLOSED, State.FORCED_OPEN, State.DISABLED, State.METRICS_ONLY)
DEFAULT_THRESHOLD = 5
DEFAULT_EXPIRY = 60.0

FOLLOWS = -1.0  # stands for "what follows from expiry" until all options are known

ExpiryFunction = Callable[[int, Outcome], "float | timedelta | None"]
Kind = type[BaseException] | Callable[[BaseException], object]
Kinds = Kind | Iterable[Kind]
F = TypeVar("F", bound=Callable[..., Any])

# Named functions and not one factory: the type checkers read the types of options off them.


def _trip(value: Trip | None) -> Trip:
    # Without one it follows from failure_threshold, once all options are known.
    return cast(Trip, None) if value is None else check_trip(value)


def _failure_threshold(value: int | None) -> int:
    return 0 if value is None else whole("failure_threshold", value)


def _expiry(value: float | timedelta | ExpiryFunction) -> float:
    # A function is taken up as the strategy, once all options are known.
    return cast(float, value) if callable(value) else seconds("expiry", value)


def _initial_expiry(value: float | timedelta | None) -> float:
    return FOLLOWS if value is None else seconds("initial_expiry", value)


def _max_expiry(value: float | timedelta | None) -> float:
    return FOLLOWS if value is None else seconds("max_expiry", value)


def _half_open_timeout(value: float | timedelta | None) -> float:
    return FOLLOWS if value is None else seconds("half_open_timeout", value)


def _half_open_wait(value: float | timedelta) -> float:
    return seconds("half_open_wait", value, zero=True)


def _reset_after(value: float | timedelta) -> float:
    return seconds("reset_after", value, zero=True)


def _slow_after(value: float | timedelta | None) -> float | None:
    return None if value is None else seconds("slow_after", value)


def _cancel_counts_after(value: float | timedelta | None) -> float | None:
    return None if value is None else seconds("cancel_counts_after", value, zero=True)


def _stall_after(value: float | timedelta | None) -> float | None:
    return None if value is None else seconds("stall_after", value)


def _whole(_policy: object, field: attrs.Attribute[int], value: int) -> None:
    whole(field.name, value)


def _strategy(value: str | ExpiryFunction) -> str | ExpiryFunction:
    if callable(value):
        return _plain("expiry_strategy", value)
    if value not in STRATEGIES:
        raise unknown("expiry_strategy", value, STRATEGIES)
    return value


def _plain(option: str, function: F) -> F:
    """`function`, which is called in the thread of the call, where nobody could await it."""
    if kind_of(function) in (FunctionKind.COROUTINE, FunctionKind.ASYNC_GENERATOR):
        raise ConfigError(option, "a plain function, which is not awaited", function)
    return function


def _factor(_policy: object, _field: object, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 1e6:
        raise ConfigError("backoff_factor", "a number >= 1", value)


def _share(_policy: object, field: attrs.Attribute[float], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(field.name, "a number from 0 to 1", value)


def _slow_rate(_policy: object, _field: object, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ConfigError("slow_rate", "a number above 0 and up to 1", value)


def _callable(_policy: object, field: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    if not callable(value):
        raise ConfigError(field.name, "a function of one argument", value)
    _plain(field.name, value)


def _health_check(_policy: object, _field: object, value: Any) -> None:
    if value is not None:
        check_function("health_check", value)


def _health_interval(value: float | timedelta) -> float:
    return seconds("health_interval", value)


def _health_timeout(value: float | timedelta | None) -> float:
    return FOLLOWS if value is None else seconds("health_timeout", value)


def _initial_state(value: str) -> State:
    if value not in STABLE:
        raise ConfigError("initial_state", f"one of {', '.join(STABLE)}", value)
    return State(value)


def _ignore(value: Kinds) -> tuple[Kind, ...]:
    return _kinds("ignore", value)


def _record(value: Kinds) -> tuple[Kind, ...]:
    return _kinds("record", value)


def _kinds(option: str, value: Any) -> tuple[Kind, ...]:
    kinds = (value,) if isinstance(value, type) or callable(value) else value
    if isinstance(kinds, Iterable) and not isinstance(kinds, str | bytes | Mapping):
        kinds = tuple(kinds)
        if all(_is_kind(kind) for kind in kinds):
            for test in _tests(kinds):
                _plain(option, test)
            return kinds
    raise ConfigError(option, "exception classes, or functions of an exception", value)


def _is_kind(kind: Any) -> bool:
    return issubclass(kind, BaseException) if isinstance(kind, type) else callable(kind)


def _classes(kinds: tuple[Kind, ...]) -> tuple[type[BaseException], ...]:
    return tuple(kind for kind in kinds if isinstance(kind, type))


def _tests(kinds: tuple[Kind, ...]) -> tuple[Callable[[BaseException], object], ...]:
    return tuple(kind for kind in kinds if not isinstance(kind, type))


@takes_only("an option of a circuit", WORDS)
@attrs.frozen(kw_only=True)
class Policy:
    """The rules of a circuit: frozen, comparable, shared by any number of circuits.

    Example:
        >>> Policy(failure_threshold=3, expiry=10.0).half_open_timeout
        10.0
        >>> Policy(trip=CountWindow(size=20, rate=0.5), slow_after=2.0).failure_threshold
        5

    Args:
        trip: what opens the circuit: `ConsecutiveFailures`, `CountWindow`, `TimeWindow`,
            `any_of` several, or a `TripPolicy` of your own.
        failure_threshold: consecutive failures that open the circuit, 5 by default; the short
            form of ``trip=ConsecutiveFailures(5)``. Reads, with another `trip`, as the fewest
            failures that can open it.
        slow_after: seconds above which a call is slow; None measures nothing, as by default. A
            call counts as slow as soon as it is under way for so long. `timedelta` is accepted
            here and below.
        slow_rate: share of slow calls in the window of `trip` that opens the circuit. With
            consecutive failures as many slow calls in a row open it.
        expiry: seconds that the circuit stays open.
        expiry_strategy: ``"fixed"``, ``"progressive"`` (each open in a row lasts longer), or a
            function ``(attempt, last_failure) -> seconds``, called at each automatic opening with
            its number in the row and the `Outcome` that opened; None from it means `expiry`.
        initial_expiry: progressive only: the first open time; `expiry` by default.
        max_expiry: the longest open time of ``"progressive"``, and the longest that a remote can
            ask for by ``retry_after``; ten times `expiry` by default.
        backoff_factor: progressive only: growth from one open to the next; at least 1.
        jitter: progressive only: share of the open time that is drawn at random, 0 to 1.
        reset_after: seconds that the circuit must have been closed before the next opening counts
            as the first in a row again; 0 by default: at once.
        half_open_max_calls: probes that may be out at the same time.
        success_threshold: successful probes that close the circuit.
        failure_threshold_half_open: failed probes that open it again. A slow probe failed.
        half_open_timeout: seconds after which a probe without an outcome is presumed lost and
            its place is free again; `expiry` by default.
        half_open_wait: seconds that a call may wait for the verdict of the probes instead of being
            refused while all of them are out; 0 by default. ``try_acquire`` never waits, nor do
            plain functions inside an asyncio or trio task.
        ignore: exceptions that are neutral, neither success nor failure: classes, or functions of
            the exception that answer true.
        record: exceptions that count as failures, unless `ignore` names them too; classes or
            functions. All others are neutral.
        record_result: a function of what the call returned; true makes it a failure.
        classify: a function of the `Outcome` of every call, before all other rules: ``"success"``,
            ``"failure"``, ``("failure", reason)``, ``"ignore"``, or None to let them decide.
        cancel_counts_after: seconds from which on a cancelled call is a slow failure and no longer
            neutral; None, as by default: never.
        stall_after: seconds of a pause of this process or its event loop during a call that make
            its failure neutral, as our own; None, as by default, looks for none.
        health_check: a function without arguments, asked while the circuit is open, so that no call
            has to be the probe: one that returns is a success, one that raises or returns False
            is a failure. A plain one runs on a worker thread; an async one on the asyncio loop on
            which the policy was made, else on Brama's own trio loop.
        health_interval: seconds from one check to the next, 5 by default.
        health_timeout: seconds that a check may take, half of the interval by default.
        initial_state: in which the circuit begins: closed, forced_open, disabled or metrics_only.

    Raises:
        ConfigError: an option is out of its bounds, or two of them contradict each other.

    Threads: your functions run in the thread of the guarded call, never under a lock. One that
    raises is logged, and counts as if it were not there.
    """

    trip: Trip = attrs.field(default=None, converter=_trip)
    failure_threshold: int = attrs.field(default=None, converter=_failure_threshold)
    slow_after: float | None = attrs.field(default=None, converter=_slow_after)
    slow_rate: float = attrs.field(default=1.0, validator=_slow_rate)
    expiry: float = attrs.field(default=DEFAULT_EXPIRY, converter=_expiry)
    expiry_strategy: str | ExpiryFunction = attrs.field(default="fixed", converter=_strategy)
    initial_expiry: float = attrs.field(default=None, converter=_initial_expiry)
    max_expiry: float = attrs.field(default=None, converter=_max_expiry)
    backoff_factor: float = attrs.field(default=2.0, validator=_factor)
    jitter: float = attrs.field(default=0.1, validator=_share)
    reset_after: float = attrs.field(default=0.0, converter=_reset_after)
    half_open_max_calls: int = attrs.field(default=1, validator=_whole)
    success_threshold: int = attrs.field(default=1, validator=_whole)
    failure_threshold_half_open: int = attrs.field(default=1, validator=_whole)
    half_open_timeout: float = attrs.field(default=None, converter=_half_open_timeout)
    half_open_wait: float = attrs.field(default=0.0, converter=_half_open_wait)
    ignore: tuple[Kind, ...] = attrs.field(default=(), converter=_ignore)
    record: tuple[Kind, ...] = attrs.field(default=(Exception,), converter=_record)
    record_result: Callable[[Any], object] | None = attrs.field(default=None, validator=_callable)
    classify: Callable[[Outcome], Verdict] | None = attrs.field(default=None, validator=_callable)
    cancel_counts_after: float | None = attrs.field(default=None, converter=_cancel_counts_after)
    stall_after: float | None = attrs.field(default=None, converter=_stall_after)
    health_check: Callable[[], object] | None = attrs.field(default=None, validator=_health_check)
    health_interval: float = attrs.field(default=5.0, converter=_health_interval)
    health_timeout: float = attrs.field(default=None, converter=_health_timeout)
    initial_state: State = attrs.field(default=State.CLOSED, converter=_initial_state)

    # What a guarded call asks for, made once. Not options, and not part of the value.
    ignored_classes: tuple[type[BaseException], ...] = attrs.field(
        init=False, eq=False, repr=False, default=attrs.Factory(lambda p: _classes(p.ignore), True)
    )
    ignored_tests: tuple[Callable[[BaseException], object], ...] = attrs.field(
        init=False, eq=False, repr=False, default=attrs.Factory(lambda p: _tests(p.ignore), True)
    )
    recorded_classes: tuple[type[BaseException], ...] = attrs.field(
        init=False, eq=False, repr=False, default=attrs.Factory(lambda p: _classes(p.record), True)
    )
    recorded_tests: tuple[Callable[[BaseException], object], ...] = attrs.field(
        init=False, eq=False, repr=False, default=attrs.Factory(lambda p: _tests(p.record), True)
    )

    plain: bool = attrs.field(init=False, eq=False, repr=False, default=False)
    """Whether a row of failures is all that has to be counted."""

    usual: bool = attrs.field(init=False, eq=False, repr=False, default=False)
    """Whether an `Exception` is a failure and all else is neutral, as long as nobody says more."""

    health_loop: asyncio.AbstractEventLoop | None = attrs.field(
        init=False, eq=False, repr=False, default=None
    )

    @property
    def strategy_name(self) -> str:
        """The strategy in a word; ``"function"`` for one of your own."""
        return "function" if callable(self.expiry_strategy) else self.expiry_strategy

    def _derived(self) -> dict[str, Any]:
        follows: dict[str, Any] = {
            "initial_expiry": self.expiry,
            "max_expiry": 10 * self.expiry,
            "half_open_timeout": self.expiry,
            "health_timeout": self.health_interval / 2,
        }
        other = "trip" if isinstance(self.trip, ConsecutiveFailures) else "failure_threshold"
        follows[other] = getattr(self, other)
        return follows

    def options(self) -> dict[str, Any]:
        """The options that make this policy; what follows from others is left out."""
        derived = self._derived()
        return {
            option: value
            for option in OPTIONS
            if (value := getattr(self, option)) != derived.get(option, derived)
        }

    def __attrs_post_init__(self) -> None:
        if callable(self.expiry):
            if self.expiry_strategy != "fixed":
                raise ConfigError("expiry", "seconds beside an expiry_strategy", self.expiry)
            self._set("expiry_strategy", _plain("expiry", self.expiry))
            self._set("expiry", DEFAULT_EXPIRY)
        self._settle_trip()
        self._set("plain", self._counts_a_row())
        self._set("usual", self._goes_by_class())
        if self.health_check is not None:
            self._set("health_loop", present_loop())
        if self.initial_expiry == FOLLOWS:
            self._set("initial_expiry", self.expiry)
        if self.half_open_timeout == FOLLOWS:
            self._set("half_open_timeout", self.expiry)
        if self.health_timeout == FOLLOWS:
            self._set("health_timeout", self.health_interval / 2)
        if self.health_timeout >= self.health_interval:
            raise ConfigError(
                "health_timeout",
                f"less than health_interval ({self.health_interval} s)",
                self.health_timeout,
            )
        if self.max_expiry == FOLLOWS:
            self._set("max_expiry", 10 * self.expiry)
        if self.max_expiry < self.initial_expiry:
            raise ConfigError(
                "max_expiry", f"at least initial_expiry ({self.initial_expiry} s)", self.max_expiry
            )

    def _settle_trip(self) -> None:
        """Make one of the two spellings of consecutive failures follow from the other."""
        given = cast("Trip | None", self.trip)
        threshold = self.failure_threshold
        if given is None:
            self._set("failure_threshold", threshold or DEFAULT_THRESHOLD)
            self._set("trip", ConsecutiveFailures(self.failure_threshold))
            return
        fewest = least_failures(given)
        if threshold and threshold != fewest:
            raise ConfigError(
                "failure_threshold",
                "left out beside another trip",
                threshold,
                hint=f"trip is {given}; write any_of(..., ConsecutiveFailures({threshold})).",
            )
        self._set("failure_threshold", fewest)

    def _goes_by_class(self) -> bool:
        asked = (self.classify, self.cancel_counts_after)
        named = (self.ignored_classes, self.ignored_tests, self.recorded_classes)
        return asked == (None, None) and named == ((), (), (Exception,)) and not self.recorded_tests

    def _counts_a_row(self) -> bool:
        return type(self.trip) is ConsecutiveFailures and all(
            option is None
            for option in (
                self.slow_after,
                self.record_result,
                self.classify,
                self.cancel_counts_after,
                self.stall_after,
            )
        )

    def _set(self, option: str, value: object) -> None:
        object.__setattr__(self, option, value)


def check_policy(value: Any) -> Policy:
    """`value` as a policy.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(value, Policy):
        raise ConfigError("policy", "a brama.Policy", value)
    return value


OPTIONS: tuple[str, ...] = tuple(field.name for field in attrs.fields(Policy) if field.init)
"""The names of a policy's options."""


def check_options(
    options: Mapping[str, Any],
    *,
    what: str = "an option of a circuit",
    besides: Sequence[str] = (),
) -> dict[str, Any]:
    """`options` under their own names (``max_attempts`` becomes ``failure_threshold``).

    Args:
        options: as they were given.
        what: they are, and
        besides: what else might have been meant there; both for the text of the error.

    Raises:
        ConfigError: a name is unknown; the text lists the known ones and the nearest.
    """
    named: dict[str, Any] = {}
    for option, value in options.items():
        name = ALIASES.get(option, option)
        if name in OF_CALLS:
            raise ConfigError(
                "an option of a circuit",
                "one that all its calls share",
                option,
                hint=f"Give {option} where the call is guarded: @circuit({option}=...).",
            )
        if name not in OPTIONS:
            raise unknown_option(what, option, (*OPTIONS, *besides), WORDS)
        if name in ("ignore", "record") and isinstance(value, Iterator):
            value = tuple(value)  # read once, and asked for more often
        if name in named and named[name] != value:
            spellings = [word for word, means in ALIASES.items() if means == name]
            raise ConfigError(
                name,
                f"given once; {' and '.join(spellings)} is another word for it",
                (named[name], value),
            )
        named[name] = value
    return named


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Options in layers, of which the later hold: defaults, then what was given, then what is new.

    `trip` and `failure_threshold` are two spellings of one option, so that either replaces both.
    So are a function as `expiry` and `expiry_strategy`.

    Example:
        >>> merge({"failure_threshold": 3, "expiry": 5.0}, {"trip": CountWindow()})
        {'expiry': 5.0, 'trip': CountWindow(size=100, rate=0.5, minimum=10)}
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        if layer.get("trip") is not None:
            merged.pop("failure_threshold", None)
        elif layer.get("failure_threshold") is not None:
            merged.pop("trip", None)
        # Likewise a function may be given under either name.
        if callable(layer.get("expiry")):
            merged.pop("expiry_strategy", None)
        elif "expiry_strategy" in layer and callable(merged.get("expiry")):
            del merged["expiry"]
        merged.update(layer)
    return merged
