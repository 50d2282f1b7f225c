"""The stage: everything of a demonstration that is there while it goes on."""

from __future__ import annotations

import time
from typing import Self

import brama
from brama.actors import StopReport, kill

from .callers import RUNTIMES, Caller, Service
from .collector import Collector
from .handlers import Handlers
from .options import Options
from .script import Act, Step
from .upstreams import Condition, Upstreams

__all__ = ["NAMES", "SCOPE", "Stage"]

NAMES = ("catalog", "payments", "search")
SCOPE = "shop"
THRESHOLD = 5

_DRAIN = 5.0
"""Seconds that the handlers have for what waits for them."""

_CONDITIONS = {
    Act.FAIL: Condition.FAILING,
    Act.HANG: Condition.HANGING,
    Act.HEAL: Condition.HEALTHY,
}


class Stage:
    """The system, the service that it guards, its handlers, and the steps that have been made.

    A context manager: the service calls inside the block, from `begin` on. However it is left,
    everything is stopped, in bounded time.
    """

    def __init__(self, options: Options, upstreams: Upstreams, collector: Collector) -> None:
        self.options = options
        self.upstreams = upstreams
        self.collector = collector
        # Not from the environment: BRAMA_EXPIRY, say, is meant for another service than this one.
        self.system = brama.System(brama.Settings(environ={}), name="brama")
        self.circuits = {
            name: self.system.circuit(
                name, scope=SCOPE, failure_threshold=THRESHOLD, expiry=options.expiry
            )
            for name in NAMES
        }
        self.handlers = Handlers(self.system, SCOPE)
        self.service = Service(
            [
                Caller(runtime, upstreams[name], circuit, options.deadline, options.seed)
                for runtime in RUNTIMES
                for name, circuit in self.circuits.items()
            ],
            self.handlers.subscribe_dashboard,
        )
        self.moments: dict[tuple[Act, str], float] = {}
        self.began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the first call."""
        return time.monotonic() - self.began

    def __enter__(self) -> Self:
        self.system.start()
        return self

    def begin(self) -> None:
        """Begin to call; here the time of the script begins."""
        self.began = time.monotonic()
        self.service.start()

    def perform(self, step: Step) -> None:
        """Do what a step says."""
        self.moments[step.act, step.target] = time.monotonic()
        if step.act is Act.KILL:
            self.handlers.book.condemn()
        elif step.act is Act.KILL_ACTOR:
            kill(self.system.actors.names.via(step.target))
        else:
            self.upstreams.put(step.target, _CONDITIONS[step.act])

    def drain(self) -> None:
        """End the calls, and wait until the handlers have dealt with what they caused."""
        self.service.stop()
        end = time.monotonic() + _DRAIN
        quiet = 0
        # An event may be on its way between two actors, where nobody counts it: look twice.
        while quiet < 2 and time.monotonic() < end:
            quiet = quiet + 1 if self.handlers.idle() else 0
            time.sleep(0.05)

    def stop(self) -> StopReport:
        """Stop the system and the service."""
        report = self.system.stop()
        self.service.close()
        return report

    def __exit__(self, *_exc: object) -> None:
        self.service.stop()
        self.stop()
