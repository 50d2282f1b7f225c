"""The demonstration: real connections that break and heal, and what Brama makes of it.

Three HTTP services on loopback, a service that calls them from plain threads, from asyncio and from
trio, a script that breaks and heals them, handlers that hear of it, and an OTLP receiver in which
the traces arrive. Nothing is simulated but the trouble. The end is a list of what had to hold.

    $ brama demo
    $ brama demo --duration 60 --seed 7
    $ brama demo --json | jq .telemetry.spans

`brama.demo.run` performs it, and loads what that takes; the command line wants the options alone
until it is asked for more.
"""

from .options import Options

__all__ = ["Options"]
