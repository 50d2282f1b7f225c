"""The demonstration: real connections that break and heal, and what Brama makes of it.

Three HTTP services on loopback, a service that calls them from plain threads, from asyncio and from
trio, a script that breaks and heals them, handlers that hear of it, and an OTLP receiver in which
the traces arrive. Nothing is simulated but the trouble. The end is a list of what had to hold.

    $ brama demo
    $ brama demo --duration 60 --seed 7
    $ brama demo --json | jq .telemetry.spans
"""

from .options import Options
from .run import run

__all__ = ["Options", "run"]
