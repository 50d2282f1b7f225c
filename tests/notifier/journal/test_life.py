"""A whole life of a connection, as the trail and the events together tell it."""

from __future__ import annotations

import sqlite3
import threading
import time

import attrs
import pytest

import brama
from brama.notifier import ENTRIES, Replay, Trail, verify
from brama.notifier.journal.removal import extent, remove
from brama.notifier.journal.retention import plan

requirement = pytest.mark.requirement


def until(condition, timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        threading.Event().wait(0.005)


class Script:
    """What happens, with a handler that crashes over some of it."""

    def __init__(self, path, systems) -> None:
        self.path = path
        self.heard: list[str] = []
        self.system = systems()

    def page(self, event: brama.Event) -> None:
        if event.data["reason"] == "poison":
            raise RuntimeError("poisoned")
        if event.data["reason"] == "crash" and not event.redelivered:
            raise RuntimeError("crashed")
        self.heard.append(event.event_id)

    def run(self) -> None:
        system = self.system
        with brama.acting_as("ana"):
            system.configure(expiry=30.0)
            self.durable = system.subscribe(
                self.page, events=["circuit_opened"], durable="pager", max_redeliveries=1
            )
        self.plain = system.subscribe(self.ignore, events=["circuit_opened"], max_redeliveries=0)
        circuit = system.circuit("payment_api", scope="shop")
        for reason in ("crash", "poison", "fine"):
            with brama.acting_as("bob"):
                circuit.open_circuit(reason)
            circuit.close_circuit()
        system.configure("payment_api", scope="shop", expiry=5.0)
        until(lambda: len(self.heard) == 2)
        until(lambda: self.plain.dropped == 1)
        self.plain.close()
        system.unregister("payment_api", scope="shop")
        system.stop()

    def ignore(self, event: brama.Event) -> None:
        if event.data["reason"] == "fine":
            raise ValueError("no")


@pytest.fixture
def life(path, systems):
    script = Script(path, systems)
    script.run()
    return script


@requirement("AU-01")
def test_the_trail_of_a_life_is_complete(life, path):
    told = [(entry.entry, entry.subject, entry.by) for entry in Trail(path)]
    plain = f"subscription {life.plain.id}"
    by_kind: dict[str, list[tuple[str | None, str | None]]] = {}
    for entry, subject, by in told:
        by_kind.setdefault(entry, []).append((subject, by))
    assert by_kind.pop("schema_migrated") == [(None, None)]
    assert by_kind.pop("writer_joined") == [("brama-1", None)]
    assert by_kind.pop("order_given") == [
        ("configure", "ana"),
        ("open_circuit", "bob"),
        ("close_circuit", None),
        ("open_circuit", "bob"),
        ("close_circuit", None),
        ("open_circuit", "bob"),
        ("close_circuit", None),
        ("configure", None),
        ("unregister", None),
    ]
    assert by_kind.pop("subscribed") == [("pager", "ana"), (plain, None)]
    assert by_kind.pop("resumed") == [("pager", None)]
    failed = by_kind.pop("delivery_failed")
    assert sorted(failed) == sorted([("pager", None)] * 3 + [(plain, None)])
    assert sorted(by_kind.pop("dead_letter")) == sorted([("pager", None), (plain, None)])
    assert set(by_kind.pop("delivered")) == {("pager", None)}
    assert by_kind.pop("unsubscribed") == [(plain, None), ("pager", None)]
    assert by_kind.pop("writer_left") == [("brama-1", None)]
    assert by_kind == {}
    # Each says when, and from which process.
    assert all(entry.process and entry.at for entry in Trail(path))
    assert all(set(entry.data) <= set(ENTRIES[entry.entry].data) for entry in Trail(path))


@requirement("AU-01", "SB-10")
def test_of_every_critical_event_one_question_tells_what_became_of_it(life, path):
    crash, poison, fine = Replay(path, events=["circuit_opened"])
    ends = {
        event.data["reason"]: [
            (entry.entry, entry.data.get("tries"))
            for entry in Trail(path, event=event, subject="pager")
        ]
        for event in (crash, poison, fine)
    }
    assert ends == {
        "crash": [("delivery_failed", 1), ("delivered", 2)],
        "poison": [("delivery_failed", 1), ("delivery_failed", 2), ("dead_letter", 2)],
        "fine": [("delivered", 1)],
    }


@requirement("AU-01")
def test_the_events_of_a_life_are_beside_the_trail_with_who_wrote_them(life, path):
    events = [event.event for event in Replay(path)]
    assert events.count("circuit_opened") == events.count("circuit_closed") == 3
    assert "connection_registered" in events
    assert "configured" in events
    assert events[-1] == "connection_unregistered"
    joined = {entry.source: entry for entry in Trail(path, entries=["writer_joined"])}
    for event in Replay(path):
        assert joined[event.source].process


@requirement("AU-01")
def test_retention_and_attempts_to_change_it_are_told_on_the_trail_that_is_left(
    life, path, systems, writers
):
    writer = writers(life.system.journal.options)
    rules = attrs.evolve(life.system.journal.options, max_events=4)
    for table in ("events", "trail"):
        remove(writer.file, plan(rules, extent(writer.file, 0.0, table)), table, "brama-1")
    stranger = sqlite3.connect(path, isolation_level=None)
    for attempt in ("DELETE FROM trail", "UPDATE events SET body = '{}'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            stranger.execute(attempt)
    stranger.close()
    told = [(entry.entry, entry.subject) for entry in Trail(path)]
    assert told[-4:] == [
        ("retention_ran", "events"),
        ("retention_ran", "trail"),
        ("change_refused", "trail"),
        ("change_refused", "events"),
    ]
    report = verify(path)
    assert (report.ok, report.refusals, report.events) == (True, 2, 4)
