"""A world for one test: its own clock, its own breakers, no actors."""

from __future__ import annotations

from typing import Any

import pytest

from brama.circuits import ALL, Breaker, Circuit, Policy, Record, Shared
from brama.circuits.testing import FakeClock


class Everything:
    """The interest of a system in which somebody wants every event."""

    version = 1

    def mask(self, connection: str, scope: str | None, kind: str | None) -> int:
        return ALL


class World:
    """What one test needs of a system."""

    def __init__(self, interest: Any = None) -> None:
        self.clock = FakeClock(1000.0)
        self.posix = 1_700_000_000.0
        self.rings: list[Breaker] = []
        self.shared = Shared(
            clock=self.clock, wall=lambda: self.posix, interest=interest, draw=lambda: 0.5
        )
        self.shared.bell = self.rings.append

    def circuit(
        self, name: str = "payment_api", scope: str | None = None, **options: Any
    ) -> Circuit:
        breaker = Breaker(name, scope, Policy(**options), self.shared)
        breaker.open_gate()
        return Circuit(breaker)

    def half_open(self, **options: Any) -> Circuit:
        """A circuit whose open time is over, and nobody has called since."""
        circuit = self.circuit(**options)
        circuit.open_circuit()
        self.clock.advance(circuit._breaker.policy.expiry)
        return circuit


def records(circuit: Circuit) -> list[Record]:
    return circuit._breaker.pending()


def transitions(circuit: Circuit) -> list[tuple[str, str]]:
    """The states that the log of `circuit` tells of: from, to."""
    return [
        (record.data["previous_state"].value, record.data["new_state"].value)
        for record in records(circuit)
        if record.events[0] == "state_change"
    ]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def watched() -> World:
    """A world in which somebody wants every event."""
    world = World(Everything())
    world.shared.watched = True
    return world


@pytest.fixture(name="records")
def _records() -> Any:
    return records


@pytest.fixture(name="transitions")
def _transitions() -> Any:
    return transitions
