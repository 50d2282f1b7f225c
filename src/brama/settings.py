"""The settings of a system, from arguments or from the environment."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
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
    seconds,
)
from brama.notifier import JournalOptions
from brama.telemetry import ConfigError, unknown

__all__ = ["RuntimeOptions", "Settings"]

logger = logging.getLogger("brama")

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


class Settings:
    """What holds for a whole system.

    Precedence: an option of the circuit, then `brama.configure`, then these, then the defaults of
    `Policy`. The default system takes them from the environment.

    Example:
        >>> Settings(failure_threshold=3, expiry=10.0).options
        {'failure_threshold': 3, 'expiry': 10.0}

    Args:
        stop_timeout: seconds that stopping the system may take.
        cleanup_interval: seconds between two looks for idle circuits.
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
            `brama.circuits.testing.deactivated`.
        clock: monotonic seconds for the circuits; for tests.
        options: those of `Policy`, for circuits that do not say otherwise.

    Raises:
        ConfigError: a value is out of its bounds, or a name is unknown.
    """

    def __init__(
        self,
        *,
        stop_timeout: float | timedelta = 5.0,
        cleanup_interval: float | timedelta = 10.0,
        inactive_threshold: float | timedelta | None = 86400.0,
        journal: JournalOptions | str | Path | None = None,
        metadata: Mapping[str, Any] | None = None,
        severity: Iterable[SeverityRule | Mapping[str, Any]] | None = None,
        when_down: str = "last_known",
        testing_mode: bool = False,
        clock: Callable[[], float] = time.monotonic,
        **options: Unpack[Options],
    ) -> None:
        self.stop_timeout = seconds("stop_timeout", stop_timeout)
        self.cleanup: Mapping[str, float | None] = check_cleanup(
            {"cleanup_interval": cleanup_interval, "inactive_threshold": inactive_threshold}
        )
        if metadata is not None and not isinstance(metadata, Mapping):
            raise ConfigError("metadata", "a mapping", metadata)
        self.metadata: Mapping[str, Any] = Fields(metadata or {})
        self.severities = check_severities(severity)
        if when_down not in WHEN_DOWN:
            raise unknown("when_down", when_down, WHEN_DOWN)
        self.when_down = when_down
        if not isinstance(testing_mode, bool):
            raise ConfigError("testing_mode", "True or False", testing_mode)
        self.testing_mode = testing_mode
        if not callable(clock):
            raise ConfigError("clock", "a function that gives monotonic seconds", clock)
        self.clock = clock
        self.journal = JournalOptions.parse(journal)
        self.options: Mapping[str, Any] = check_options(options)
        Policy(**self.options)  # a wrong value is refused here and not at the first circuit

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
        """The settings in the variables ``BRAMA_FAILURE_THRESHOLD``, ``BRAMA_EXPIRY``, and so on.

        An empty variable counts as unset. One that begins so and is none of ours is named in a
        warning, as it may be a slip of the pen.

        Raises:
            ConfigError: a value is wrong; the text names the variable.
        """
        given: dict[str, Any] = {}
        for variable, text in sorted((os.environ if environ is None else environ).items()):
            if not variable.startswith(PREFIX) or not text.strip():
                continue
            option = variable.removeprefix(PREFIX).lower()
            option = ALIASES.get(option, option)
            if option not in NUMBERS:
                known = tuple(f"{PREFIX}{name.upper()}" for name in NUMBERS)
                logger.warning("%s", unknown("a setting", variable, known))
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
        try:
            return cls(**given)
        except ConfigError as error:  # two of them contradict each other
            variable = f"{PREFIX}{error.option.upper()}"
            raise ConfigError(variable, error.expected, error.got, hint=error.hint) from None

    def __repr__(self) -> str:
        return f"Settings(stop_timeout={self.stop_timeout}, **{dict(self.options)})"


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
