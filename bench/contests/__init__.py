"""The contests, by what they measure."""

from __future__ import annotations

from bench.contest import Contest

from .actors import ACTORS
from .calls import CALLS
from .connections import CONNECTIONS
from .console import CONSOLE
from .dispatch import DISPATCH
from .endtoend import END_TO_END
from .footprint import FOOTPRINT
from .held import HELD
from .journal import JOURNAL
from .lag import LAG
from .refusals import REFUSALS
from .telemetry import TELEMETRY
from .threads import THREADS
from .transitions import TRANSITIONS
from .windows import WINDOWS

__all__ = ["ALL"]

ALL: tuple[Contest, ...] = (
    *CALLS,
    *REFUSALS,
    *THREADS,
    *TRANSITIONS,
    *TELEMETRY,
    *HELD,
    *ACTORS,
    *DISPATCH,
    *END_TO_END,
    *JOURNAL,
    *LAG,
    *FOOTPRINT,
    *WINDOWS,
    *CONNECTIONS,
    *CONSOLE,
)
