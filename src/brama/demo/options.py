"""What the user may choose about a demonstration, and the times that follow from it."""

from __future__ import annotations

import attrs

__all__ = ["MINIMUM", "Options"]

MINIMUM = 4.0
"""Seconds below which the circuits have no time to be opened, probed and closed."""


@attrs.frozen(kw_only=True)
class Options:
    """One demonstration.

    Attributes:
        duration: seconds that the script takes, at least `MINIMUM`.
        seed: fixes the random parts: the script's moments, pauses of callers, answer times.
        json: one JSON document on stdout and nothing else.
    """

    duration: float = 20.0
    seed: int = 1
    json: bool = False

    @property
    def expiry(self) -> float:
        """Seconds that a circuit stays open before it admits a probe."""
        return 0.08 * self.duration

    @property
    def deadline(self) -> float:
        """Seconds that a call may take: a service that hangs must count as one that failed.

        It does not shrink with the duration, for a healthy answer on a busy machine takes its time.
        """
        return 0.25
