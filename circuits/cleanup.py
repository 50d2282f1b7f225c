"""Removing circuits that nobody has used for long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from time import perf_counter
from typing import Any

from brama.telemetry import ConfigError, unknown_option

from .catalogue import Catalogue
from .circuit import Circuit
from .log import Record
from .options import seconds
from .roster import SHARDS

__all__ = ["CLEANUP_OPTIONS", "Cleanup", "check_cleanup"]

CLEANUP_OPTIONS = ("cleanup_interval", "inactive_threshold")

SLICE = 0.004
"""Seconds after which a sweep lets others have their turn; the last look may take it to 5 ms."""

SHARE = 0.01
"""Of each interval so much is spent on looking; the rest of a large catalogue has to wait."""

LEAST = 0.05
BETWEEN_READINGS = 16  # of the timer: a reading costs about a twentieth of a look


class Cleanup:
    """Removes circuits that are closed, idle and held by nobody; belongs to the system.

    A circuit is idle since its registration or its last activity, whichever is later. What a call
    would have to pay for, a reading of the clock, is not needed: a sweep sees by the counts that
    something happened since the last one. So the age is right to within one interval, as long as a
    sweep gets through: it spends a hundredth of the interval and goes on next time where it
    stopped.

    Args:
        catalogue: of the circuits.
        cleanup_interval: seconds between two sweeps.
        inactive_threshold: seconds without any activity after which a circuit is removed; None
            removes none.
        timer: seconds that a slice is measured by.

    Threads: `slice` and `run` from any, one at a time each.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        cleanup_interval: float | timedelta = 10.0,
        inactive_threshold: float | timedelta | None = 86400.0,
        timer: Callable[[], float] = perf_counter,
    ) -> None:
        self.interval = 10.0
        self.threshold: float | None = None
        self._catalogue = catalogue
        self._timer = timer
        self.changed: Callable[[], object] = _nobody_waits
        self.configure(cleanup_interval=cleanup_interval, inactive_threshold=inactive_threshold)
        self._shard = 0
        self._todo: list[Circuit] = []
        self._shards_left = 0
        self._spent = 0.0
        self.removed = 0

    def configure(self, **options: Any) -> None:
        """Change `cleanup_interval`, `inactive_threshold` or both.

        Raises:
            ConfigError: one of them is no number of seconds > 0.
        """
        checked = check_cleanup(options)
        self.interval = checked.get("cleanup_interval") or self.interval
        self.threshold = checked.get("inactive_threshold", self.threshold)
        self.changed()

    # A sweep in slices, for the loop

    def begin(self) -> None:
        """Start a sweep; each circuit is looked at once in it, or as many as the time allows."""
        self._shards_left = SHARDS
        self._spent = 0.0
        self.removed = 0

    def slice(self) -> bool:
        """Look at circuits for at most `SLICE` seconds; whether the sweep goes on."""
        threshold = self.threshold
        if threshold is None:
            return False
        began = self._timer()
        while True:
            for _ in range(BETWEEN_READINGS):
                if not self._todo:
                    if not self._shards_left:
                        return False
                    self._next_shard()
                    continue
                self.removed += self._catalogue.remove_idle(self._todo.pop(), threshold)
            spent = self._timer() - began
            if spent >= SLICE:
                self._spent += spent
                return self._spent < max(LEAST, SHARE * self.interval)

    def _next_shard(self) -> None:
        self._todo = self._catalogue.shard(self._shard)
        self._shard = (self._shard + 1) % SHARDS
        self._shards_left -= 1

    # All at once, for a caller who can wait

    def run(self) -> int:
        """Look at every circuit now; how many were removed."""
        threshold = self.threshold
        if threshold is None:
            return 0
        return sum(
            self._catalogue.remove_idle(circuit, threshold)
            for number in range(SHARDS)
            for circuit in self._catalogue.shard(number)
        )

    def record(self, removed: int) -> Record:
        """What is to be told of a sweep that has removed so many."""
        return self._catalogue.removal(removed)


def check_cleanup(options: Mapping[str, Any]) -> dict[str, float | None]:
    """The two options as seconds.

    Raises:
        ConfigError: one of them is no number of seconds > 0, or a name is unknown.
    """
    checked: dict[str, float | None] = {}
    for option, value in options.items():
        if option not in CLEANUP_OPTIONS:
            raise unknown_option("an option of the cleanup", option, CLEANUP_OPTIONS)
        if value is None:
            if option == "cleanup_interval":
                raise ConfigError(option, "a number of seconds > 0", value)
            checked[option] = None
        else:
            checked[option] = seconds(option, value)
    return checked


def _nobody_waits() -> None:
    """No actor is there whose timer would have to be set anew."""
