"""Restart intensity: how many restarts within which time are still normal."""

from __future__ import annotations

from collections import deque
from typing import Any

from brama.telemetry import ConfigError

from .durations import duration

__all__ = ["RESTART_WORDS", "Intensity"]

RESTART_WORDS = {"max_restarts": "intensity", "max_seconds": "period"}
"""Elixir's words for the two; Erlang's are ours."""


class Intensity:
    """OTP's restart intensity: at most ``intensity`` restarts within ``period`` seconds.

    A restart exactly ``period`` seconds old still counts. OTP counts in whole seconds, which makes
    its true window up to a second longer; this one is exact.

    Raises:
        ConfigError: `intensity` is no whole number of at least 0, or `period` not positive.
    """

    __slots__ = ("_instants", "intensity", "period")

    def __init__(self, intensity: int, period: Any) -> None:
        if type(intensity) is not int or intensity < 0:
            raise ConfigError("intensity", "a number of restarts, 0 or more", intensity)
        self.intensity = intensity
        self.period = duration("period", period)
        self._instants: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Count a restart at the monotonic second ``now``; False when it is one too many."""
        instants = self._instants
        while instants and instants[0] < now - self.period:
            instants.popleft()
        instants.append(now)
        return len(instants) <= self.intensity

    def used(self, now: float) -> int:
        """Restarts within the window that ends ``now``. From any thread."""
        while True:
            try:
                return sum(1 for instant in tuple(self._instants) if instant >= now - self.period)
            except RuntimeError:  # changed while it was copied; only possible without the GIL
                continue

    def since(self) -> float | None:
        """The monotonic second of the oldest restart that was counted last, if there is one."""
        return self._instants[0] if self._instants else None
