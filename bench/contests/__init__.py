"""The contests, by what they measure."""

from __future__ import annotations

from bench.contest import Contest

from .actors import ACTORS
from .calls import CALLS
from .dispatch import DISPATCH
from .footprint import FOOTPRINT
from .journal import JOURNAL
from .refusals import REFUSALS
from .telemetry import TELEMETRY
from .threads import THREADS
from .transitions import TRANSITIONS

__all__ = ["ALL"]

ALL: tuple[Contest, ...] = (
    *CALLS,
    *REFUSALS,
    *THREADS,
    *TRANSITIONS,
    *TELEMETRY,
    *ACTORS,
    *DISPATCH,
    *JOURNAL,
    *FOOTPRINT,
)
