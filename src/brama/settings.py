"""The settings of a system, from arguments or from the environment."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from types import EllipsisType
from typing import Any, Unpack

from brama.circuits import (
    ALIASES,
    OPTIONS,
    Fields,
    Options,
    Policy,
    SeverityRule,
    check_cleanup,
    check_options,
    check_severities,
    merge,
    seconds,
)
from brama.notifier import JournalOptions
from brama.telemetry import ConfigError, unknown

__all__ = ["RuntimeOptions", "Settings"]

PREFIX = "BRAMA_"
WHEN_DOWN = ("last_known",)
ON = ("1", "true", "yes", "on")
OFF = ("0", "false", "no", "off")


def _switch(text: str) -> bool:
    word = text.lower()
    if word not in ON + OFF:
        raise ValueError(text)
    return word in ON


def _pairs(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(equals and key.strip() for key, equals, _ in pairs):
        raise ValueError(text)
    return {key.strip(): value.strip() for key, _, value in pairs}


NUMBERS: dict[str, Callable[[str], Any]] = {
    "failure_threshold": int,
    "failure_threshold_half_open": int,
    "half_open_max_calls": int,
    "success_threshold": int,
    "expiry": float,
    "initial_expiry": float,
    "max_expiry": float,
    "backoff_factor": float,
    "jitter": float,
    "half_open_timeout": float,
    "half_open_wait": float,
    "reset_after": float,
    "slow_after": float,
    "slow_rate": float,
    "cancel_counts_after": float,
    "stall_after": float,
    "health_interval": float,
    "health_timeout": float,
    "stop_timeout": float,
    "cleanup_interval": float,
    "inactive_threshold": float,
    "testing_mode": _switch,
    "expiry_strategy": str,
    "initial_state": str,
    "journal": str,
    "metadata": _pairs,
}


class RuntimeOptions(Options, total=False):
    """What `brama.configure` takes: the options of circuits, of the cleanup, and of events."""

    cleanup_interval: float | timedelta
    inactive_threshold: float | timedelta | None
    severity: Iterable[SeverityRule | Mapping[str, Any]] | None


DEFAULTS: Mapping[str, Any] = {
    "stop_timeout": 5.0,
    "cleanup_interval": 10.0,
    "inactive_threshold": 86400.0,
    "journal": None,
    "testing_mode": False,
    "metadata": None,
}
"""What holds where neither an argument nor the environment says otherwise."""


class Settings:
    """What holds for a whole system.

    Precedence: an option of the circuit, then `brama.configure`, then these, then the environment
    (``BRAMA_EXPIRY``, ``BRAMA_STOP_TIMEOUT``, and so on: the upper case of each option), then the
    defaults.

    Example:
        >>> Settings(failure_threshold=3, expiry=10.0).options
        {'failure_threshold': 3, 'expiry': 10.0}

    Args:
        stop_timeout: seconds that stopping the system may take, 5.0 by default.
        cleanup_interval: seconds between two looks for idle circuits, 10.0 by default.
        inactive_threshold: seconds without activity after which a circuit is removed, a day by
            default; None removes none.
        journal: the file that keeps the events, ``"sqlite:///path"``, a path, or
            `brama.notifier.JournalOptions`; None (the default) keeps none.
        metadata: where this process is and what it belongs to, such as ``{"device": "pump-7",
            "gateway": "hall 3", "region": "eu-north"}``: every circuit has it as part of its own
            metadata, and so has the data of every event. What a circuit says itself goes first.
        severity: rules that say how severe an event is, `SeverityRule`; of several that fit the
            first decides, and where none does the usual severity holds.
        when_down: what callers see while Brama's thread is down: ``"last_known"``, the state as it
            was and as the clock moves it on. The only choice; it declares what holds.
        testing_mode: every call passes every circuit and nothing is counted, as in
            `brama.circuits.testing.deactivated`; False by default.
        clock: monotonic seconds for the circuits; for tests.
        environ: the environment, in the place of the process's; ``{}`` for none, as a test may want
            it.
        options: those of `Policy`, for circuits that do not say otherwise.

    Two are equal if all that they come to is.

    Raises:
        ConfigError: a value is out of its bounds, or a name is unknown; of a variable the text
            names that.
    """

    def __init__(
        self,
        *,
        stop_timeout: float | timedelta | EllipsisType = ...,
        cleanup_interval: float | timedelta | EllipsisType = ...,
        inactive_threshold: float | timedelta | EllipsisType | None = ...,
        journal: JournalOptions | str | Path | EllipsisType | None = ...,
        severity: Iterable[SeverityRule | Mapping[str, Any]] | None = None,
        metadata: Mapping[str, Any] | EllipsisType | None = ...,
        when_down: str = "last_known",
        testing_mode: bool | EllipsisType = ...,
        clock: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] | None = None,
        **options: Unpack[Options],
    ) -> None:
        variables = _read(os.environ if environ is None else environ)
        values = {**DEFAULTS, **{name: variables[name] for name in DEFAULTS if name in variables}}
        given = {
            "stop_timeout": stop_timeout,
            "cleanup_interval": cleanup_interval,
            "inactive_threshold": inactive_threshold,
            "journal": journal,
            "testing_mode": testing_mode,
            "metadata": metadata,
        }
        values.update({name: value for name, value in given.items() if value is not ...})
        self.stop_timeout = seconds("stop_timeout", values["stop_timeout"])
        self.cleanup: Mapping[str, float | None] = check_cleanup(
            {name: values[name] for name in ("cleanup_interval", "inactive_threshold")}
        )
        self.severities = check_severities(severity)
        where = values["metadata"]
        if where is not None and not isinstance(where, Mapping):
            raise ConfigError("metadata", "a mapping", where)
        self.metadata: Mapping[str, Any] = Fields(where or {})
        if when_down not in WHEN_DOWN:
            raise unknown("when_down", when_down, WHEN_DOWN)
        self.when_down = when_down
        self.testing_mode: bool = values["testing_mode"]
        if not isinstance(self.testing_mode, bool):
            raise ConfigError("testing_mode", "True or False", testing_mode)
        if not callable(clock):
            raise ConfigError("clock", "a function that gives monotonic seconds", clock)
        self.clock = clock
        self.journal = JournalOptions.parse(values["journal"])
        others = (*given, "severity", "when_down", "clock", "environ")
        checked = check_options(options, what="a setting", besides=others)
        around = {name: value for name, value in variables.items() if name in OPTIONS}
        self.options: Mapping[str, Any] = merge(around, checked)
        try:
            Policy(**self.options)  # a wrong value is refused here and not at the first circuit
        except ConfigError as error:  # of two that contradict each other
            if error.option not in around or error.option in checked:
                raise
            variable = f"{PREFIX}{error.option.upper()}"
            raise ConfigError(variable, error.expected, error.got, hint=error.hint) from None

    @property
    def cleanup_interval(self) -> float | None:
        """Seconds between two looks for idle circuits."""
        return self.cleanup["cleanup_interval"]

    @property
    def inactive_threshold(self) -> float | None:
        """Seconds without activity after which a circuit is removed; None removes none."""
        return self.cleanup["inactive_threshold"]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """What the environment alone says: ``BRAMA_FAILURE_THRESHOLD``, and so on.

        An empty variable counts as unset. One that begins so and is none of ours is named in a
        warning, as it may be a slip of the pen.

        Raises:
            ConfigError: a value is wrong; the text names the variable.
        """
        return cls(environ=environ)

    def _all(self) -> dict[str, Any]:
        return {
            "stop_timeout": self.stop_timeout,
            **self.cleanup,
            "journal": self.journal,
            "severity": () if self.severities is None else self.severities.rules,
            "when_down": self.when_down,
            "testing_mode": self.testing_mode,
            "metadata": dict(self.metadata),
            "clock": self.clock,
            **self.options,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings):
            return NotImplemented
        return self._all() == other._all()

    __hash__ = None  # type: ignore[assignment]  # options may hold what does not hash

    def __repr__(self) -> str:
        found = self._all()
        if self.clock is time.monotonic:
            del found["clock"]
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in found.items())})"


def _read(environ: Mapping[str, str]) -> dict[str, Any]:
    """The options that the environment sets, each checked by itself."""
    given: dict[str, Any] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or not text.strip():
            continue
        option = variable.removeprefix(PREFIX).lower()
        option = ALIASES.get(option, option)
        if option not in NUMBERS:
            known = tuple(f"{PREFIX}{name.upper()}" for name in NUMBERS)
            warnings.warn(str(unknown("a setting", variable, known)), stacklevel=3)
            continue
        value = _parse(variable, text.strip(), NUMBERS[option])
        if option in given and given[option] != value:
            raise ConfigError(
                variable,
                f"left out, or the same as {PREFIX}{option.upper()}, of which it is another "
                f"spelling ({given[option]!r})",
                value,
            )
        given[option] = value
        _check(variable, option, given[option])
    return given


def _parse(variable: str, text: str, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(text)
    except ValueError:
        expected = "true or false" if kind is _switch else "a number"
        expected = "a whole number" if kind is int else expected
        expected = "pairs such as device=pump-7,region=eu-north" if kind is _pairs else expected
        raise ConfigError(variable, expected, text) from None


def _check(variable: str, option: str, value: Any) -> None:
    """Check one value alone; what it comes to beside the others is checked with the whole."""
    if option in ("testing_mode", "metadata"):
        return
    try:
        if option == "journal":
            JournalOptions.parse(value)
        elif option not in OPTIONS:
            seconds(option, value)
        elif option == "max_expiry":
            Policy(initial_expiry=value, max_expiry=value)
        else:
            Policy(**{option: value})
    except ConfigError as error:
        if error.option == option or option in ("max_expiry", "journal"):
            raise ConfigError(variable, error.expected, value, hint=error.hint) from None
