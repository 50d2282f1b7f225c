"""More happens than anybody can take: what was lost is told, and nothing else is."""

from __future__ import annotations

import threading

import pytest

import brama
from brama.actors import kill

WANTED = ["state_change", "circuit_opened", "circuit_closed", "gap"]
ROUNDS = 3000


class Books:
    """Adds up what the registry gives out, and what it says is lost."""

    name = "books"
    connection = scope = kind = None

    def __init__(self) -> None:
        self.born = 0
        self.events = tuple(WANTED)
        self.heard: set[str] = set()
        self.lost: dict[str, int] = {}
        self.begin = threading.Event()

    def offer(self, event: brama.Event) -> bool:
        self.begin.wait(10)  # on the loop: more must have happened by then than a log can keep
        if event.event == "gap":
            self.lost[event.event_id] = event.data["lost"]
        else:
            self.heard.add(event.event_id)
        return False

    @property
    def total(self) -> int:
        return len(self.heard) + sum(self.lost.values())


@pytest.mark.parametrize("killing", [False, True], ids=["all is well", "the registry is killed"])
def test_in_a_flood_every_event_is_heard_or_told_as_lost_and_never_both(killing, until):
    system = brama.System(brama.Settings())
    system.actors._root_options = {"intensity": 1000, "period": 5.0}
    books = Books()
    try:
        system.start()
        system._subscriptions.index.add(books)
        circuit = system.circuit("a")
        for number in range(ROUNDS):
            circuit.open_circuit()
            circuit.close_circuit()
            if number == ROUNDS // 2:
                books.begin.set()
            if killing and number % 200 == 0:
                ref = system.actors.names.whereis("registry")
                if ref is not None:
                    kill(ref)
        until(lambda: books.total >= 4 * ROUNDS)
        assert system.flush(5)
        assert books.total == 4 * ROUNDS
        assert books.lost
    finally:
        system.stop()
