"""Durable subscriptions: what was missed comes first, in order, without a gap or a double."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest
import trio

import brama
from brama.actors import kill
from brama.notifier import HandlerActor, inline
from brama.notifier.registry import keep
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement
CRITICAL = ["state_change", "circuit_opened", "circuit_closed"]


def flip(circuit, times: int) -> None:
    for _ in range(times):
        circuit.open_circuit()
        circuit.close_circuit()


def reasons(events) -> list:
    return [event.data["reason"] for event in events]


@requirement("SB-10")
def test_what_was_missed_arrives_first_and_in_order(systems, recorder):
    first, heard = systems(), recorder()
    first.subscribe(heard, durable="pager", events=CRITICAL)
    flip(first.circuit("search"), 2)
    heard.wait(8)
    first.stop()

    away = systems()
    flip(away.circuit("search"), 3)
    away.stop()

    again, later = recorder(), systems()
    later.subscribe(again, durable="pager", events=CRITICAL)
    flip(later.circuit("search"), 1)
    events = again.wait(16)
    assert [event.seq for event in events] == list(range(9, 25))
    assert [event.n for event in events] == list(range(9, 25))
    assert not any(event.redelivered for event in events)


def test_a_new_name_begins_with_what_happens_after_it_was_subscribed(systems, recorder):
    system, heard = systems(), recorder()
    circuit = system.circuit("search")
    circuit.open_circuit("before")
    system.subscribe(heard, durable="pager", events=["state_change"])
    circuit.close_circuit("after")
    circuit.open_circuit("then")
    assert reasons(heard.wait(2)) == ["after", "then"]


def test_of_what_is_under_way_a_new_name_hears_only_what_began_after_it(systems, recorder):
    for turn in range(20):
        system, heard = systems(), recorder()
        system.start()
        circuits = [system.circuit(f"c{number}") for number in range(20)]
        for circuit in circuits:
            circuit.open_circuit("before")
        system.subscribe(heard, durable=f"pager {turn}", events=["circuit_closed"])
        circuits[0].close_circuit("after")
        system.subscribe(heard.awaited, durable=f"other {turn}", events=["circuit_opened"])
        circuits[0].open_circuit("after")
        assert reasons(heard.wait(2)) == ["after", "after"]
        system.stop()


@requirement("SB-05")
def test_only_what_matches_arrives_and_what_does_not_is_not_shown_again(systems, recorder):
    system, heard = systems(), recorder()
    system.subscribe(
        heard,
        durable="pager",
        events=["circuit_opened"],
        connection="search",
        scope="shop",
        filter=lambda event: event.data["reason"] != "boring",
    )
    for scope in ("shop", None, "other"):
        for name in ("search", "stock"):
            circuit = system.circuit(name, scope=scope)
            circuit.open_circuit("boring")
            circuit.close_circuit()
            circuit.open_circuit("yes")
    [event] = heard.wait(1)
    assert (event.connection, event.scope, event.data["reason"]) == ("search", "shop", "yes")
    assert system.flush()
    system.stop()
    again, later = recorder(), systems()
    later.subscribe(again, durable="pager")
    later.circuit("search").open_circuit("new")
    assert "yes" not in [event.data.get("reason") for event in again.wait(1)]


def test_events_of_single_calls_are_kept_where_a_durable_subscription_wants_them(systems, recorder):
    system, heard = systems(), recorder()
    system.subscribe(heard, durable="calls", events=["success"])
    circuit = system.circuit("search")
    for _ in range(5):
        circuit.call(lambda: None)
    assert len(heard.wait(5)) == 5
    assert len(list(system.replay(events=["success"]))) == 5


@requirement("SB-07")
@pytest.mark.parametrize("kind", ["plain", "inline", "async", "actor"])
def test_every_kind_of_handler_may_be_durable(systems, recorder, kind):
    heard = recorder()

    class Actor(HandlerActor):
        def on_event(self, event: brama.Event) -> None:
            heard(event)

    handler = {
        "plain": heard,
        "inline": inline(heard),
        "async": heard.awaited,
        "actor": Actor,
    }[kind]
    for turn in range(3):
        system = systems()
        system.subscribe(handler, durable="pager", events=["state_change"])
        flip(system.circuit("search"), 1)
        heard.wait(2 * turn + 2)
        system.stop()
    assert [event.seq for event in heard.events] == [1, 3, 5, 7, 9, 11]


@pytest.mark.parametrize("run", [trio.run, asyncio.run], ids=["trio", "asyncio"])
def test_a_handler_of_a_users_loop_may_be_durable(systems, recorder, run):
    system, heard = systems(), recorder()

    async def main() -> None:
        system.subscribe(heard.awaited, durable="pager", events=["state_change"])
        flip(system.circuit("search"), 2)
        while len(heard.events) < 4:
            await (trio.sleep(0.005) if run is trio.run else asyncio.sleep(0.005))

    run(main) if run is trio.run else run(main())
    assert [event.seq for event in heard.events] == [1, 3, 5, 7]


@requirement("SB-10")
def test_what_was_being_handled_when_the_process_died_comes_again_and_says_so(
    systems, recorder, path, until
):
    first, reached = systems(), threading.Event()
    free = threading.Event()

    def slow(event: brama.Event) -> None:
        if event.data["reason"] == "third":
            reached.set()
            free.wait(10)

    first.subscribe(slow, durable="pager", events=["state_change"])
    circuit = first.circuit("search")
    circuit.open_circuit("first")
    circuit.close_circuit("second")
    circuit.open_circuit("third")
    circuit.close_circuit("fourth")
    assert reached.wait(10)
    stranger = sqlite3.connect(path)
    until(lambda: stranger.execute("SELECT n FROM durables").fetchone() == (2,))
    stranger.close()
    first.journal.owner._close()  # as if the process had been killed

    second, heard = systems(), recorder()
    second.subscribe(heard, durable="pager", events=["state_change"])
    second.circuit("search").open_circuit("fifth")
    events = heard.wait(3)
    assert reasons(events) == ["third", "fourth", "fifth"]
    assert events[0].redelivered
    assert not events[2].redelivered
    assert [event.n for event in events] == [3, 4, 5]
    free.set()


@requirement("SB-10")
def test_a_handler_that_crashes_gets_the_event_again_before_any_later_one(systems, recorder):
    failed = []

    def fail(event: brama.Event) -> bool:
        if event.data["reason"] == "second" and not failed:
            failed.append(event)
            return True
        return False

    system, heard = systems(), recorder(fail)
    system.subscribe(heard, durable="pager", events=["state_change"])
    circuit = system.circuit("search")
    circuit.open_circuit("first")
    circuit.close_circuit("second")
    circuit.open_circuit("third")
    events = heard.wait(4)
    assert reasons(events) == ["first", "second", "second", "third"]
    assert [event.redelivered for event in events] == [False, False, True, False]


def test_of_several_processes_one_delivers_and_another_goes_on_when_it_ends(systems, recorder):
    one, two = systems(), systems()
    first, second = recorder(), recorder()
    one.subscribe(first, durable="pager", events=["state_change"])
    flip(one.circuit("a"), 1)
    first.wait(2)
    two.subscribe(second, durable="pager", events=["state_change"])
    flip(two.circuit("b"), 2)  # of the other process, and the first one hears of it
    assert [event.connection for event in first.wait(6)] == ["a"] * 2 + ["b"] * 4
    assert two.journal.status().durable == {"pager": False}
    one.stop()
    flip(two.circuit("b"), 1)
    assert [event.n for event in second.wait(2)] == [7, 8]
    assert first.names == ["state_change"] * 6


def test_a_name_can_be_taken_again_at_once_after_it_was_closed(systems, recorder):
    system = systems()
    circuit = system.circuit("search")
    seen = []
    for _ in range(10):
        heard = recorder()
        with system.subscribe(heard, durable="pager", events=["state_change"]) as subscription:
            flip(circuit, 2)
            heard.wait(4)
            subscription.close(wait=True)
        flip(circuit, 1)  # nobody is there
        seen += [event.seq for event in heard.events]
    last = recorder()
    system.subscribe(last, durable="pager", events=["state_change"])
    seen += [event.seq for event in last.wait(2)]
    # Each comes once, but for what was given out when it was closed; and none is missing.
    assert sorted(set(seen)) == list(range(1, 121, 2))
    assert seen == sorted(seen)


def test_a_name_belongs_to_one_subscription_of_a_system(systems, recorder):
    system = systems()
    one, two = recorder(), recorder()
    subscription = system.subscribe(one, durable="pager")
    assert system.subscribe(one, durable="pager") is subscription
    assert subscription.durable == "pager"
    with pytest.raises(ConfigError, match="a name that no other subscription"):
        system.subscribe(two, durable="pager")
    assert system.subscribe(one) is not subscription


@pytest.mark.parametrize("name", ["", 5, "x" * 256, "a\nb"])
def test_a_wrong_name_is_refused(systems, name):
    with pytest.raises(ConfigError):
        systems().subscribe(print, durable=name)


def test_a_name_can_be_forgotten_when_nobody_uses_it(systems, recorder):
    system, heard = systems(), recorder()
    subscription = system.subscribe(heard, durable="pager", events=["state_change"])
    flip(system.circuit("search"), 1)
    heard.wait(2)
    assert not system.journal.forget("pager")
    subscription.close(wait=True)
    assert system.flush()
    later = systems()
    system.stop()
    assert later.journal.forget("pager")
    assert not later.journal.forget("pager")


def test_a_backlog_on_disk_costs_no_memory(systems, recorder):
    first = systems(sync="never")
    first.subscribe(print, durable="pager", events=["state_change"]).close()
    first.flush()
    for _ in range(10):
        flip(first.circuit("search"), 200)
        assert first.flush()
    first.stop()
    most = []
    second, done = systems(), threading.Event()

    def handle(event: brama.Event) -> None:
        most.append(subscription.queued)
        if event.seq == 7999:
            done.set()

    subscription = second.subscribe(handle, durable="pager", events=["state_change"])
    assert done.wait(30)
    assert len(most) == 4000
    assert max(most) <= 256


def test_what_retention_has_removed_is_told_as_a_gap(systems, recorder, monkeypatch, until):
    first = systems()
    first.subscribe(print, durable="pager", events=["state_change"]).close()
    first.flush()
    first.stop()
    monkeypatch.setattr("brama.notifier.journal.store.SWEEP_EVERY", 0.05)
    second = systems(max_events=10)
    flip(second.circuit("search"), 20)
    assert second.flush()
    until(lambda: len(list(second.replay())) <= 10)
    second.stop()
    third, heard = systems(max_events=10), recorder()
    third.subscribe(heard, durable="pager", events=["state_change"])
    events = heard.wait(3)
    assert events[0].event == "gap"
    assert events[0].data["lost"] >= 70
    assert events[-1].event == "state_change"


def test_a_killed_store_makes_no_gap_and_no_double(systems, recorder):
    system, heard = systems(), recorder()
    system.start()
    system.subscribe(heard, durable="pager", events=["state_change"])
    circuit = system.circuit("search")
    for _ in range(8):
        flip(circuit, 5)
        kill(system.actors.names.whereis("store"))
    assert [event.seq for event in heard.wait(80)] == list(range(1, 160, 2))
    assert len(heard.events) == 80


def test_a_deleted_file_loses_no_event_that_was_not_in_it(systems, recorder, path, until):
    system, heard = systems(), recorder()
    system.subscribe(heard, durable="pager", events=["state_change"])
    circuit = system.circuit("search")
    flip(circuit, 3)
    heard.wait(6)
    for part in path.parent.glob("journal.sqlite*"):
        part.unlink()
    flip(circuit, 3)
    assert [event.seq for event in heard.wait(12)] == list(range(1, 24, 2))


def test_what_a_circuit_lost_is_told_to_durable_subscriptions_in_its_place(
    systems, recorder, monkeypatch
):
    monkeypatch.setattr("brama.circuits.log.LIMIT", 4)
    system, heard = systems(), recorder()
    system.start()
    circuit = system.circuit("search")
    system.subscribe(heard, durable="pager", events=["state_change"], connection="search")
    system.subscribe(recorder(), durable="other", events=["state_change"], connection="other")
    # Brama's thread cannot look into the log in between.
    entered, free = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        free.wait(10)

    assert system.actors.call_soon(hold)
    assert entered.wait(10)
    flip(circuit, 20)
    free.set()
    events = heard.wait(4)
    gap = next(event for event in events if event.event == "gap")
    assert gap.data["lost"] > 0
    assert system.flush()
    journaled = [event.event for event in system.replay()]
    assert journaled.count("gap") >= 1


def test_a_loss_that_no_registry_came_to_tell_of_is_in_the_journal_at_the_end(systems, monkeypatch):
    monkeypatch.setattr("brama.circuits.log.LIMIT", 4)
    system = systems()
    system.start()
    circuit = system.circuit("search")
    entered, free = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        free.wait(10)

    assert system.actors.call_soon(hold)
    assert entered.wait(10)
    flip(circuit, 20)
    keep(circuit._breaker.pending(), system._subscriptions.index, system._journal)
    free.set()
    assert system.flush()
    events = [event for event in system.replay() if event.connection == "search"]
    lost = sum(event.data["lost"] for event in events if event.event == "gap")
    assert lost > 0
    kept = [event.seq for event in events if event.critical]
    assert 4 * 20 <= lost + len(kept) <= 4 * 20 + 2  # perhaps the registration, too
    assert kept == list(range(4 * 20 - len(kept) + 1, 4 * 20 + 1))


def test_a_durable_handler_of_batches_goes_on_behind_the_last_one_it_has_handled(systems):
    """What the filter refuses in the middle of a batch must not move its position past the rest."""
    heard: list[list[int]] = []
    go_on = threading.Event()

    def first(batch) -> None:
        heard.append([event.seq for event in batch])
        if len(heard) == 2:
            go_on.set()
            raise ValueError("the process ends over this batch")

    def wanted(event) -> bool:
        return event.data["new_state"] == "open"

    system = systems()
    options = {"events": ["state_change"], "durable": "me", "filter": wanted}
    system.subscribe(first, batch=3, batch_age=60.0, max_redeliveries=50, **options)
    circuit = system.circuit("search")
    for _ in range(9):
        circuit.open_circuit()
        circuit.close_circuit()
    assert go_on.wait(10)
    system.stop()
    system = systems()
    again: list[int] = []
    done = threading.Event()

    def second(event) -> None:
        again.append(event.seq)
        if event.seq == 33:
            done.set()

    system.subscribe(second, **options)
    assert done.wait(10)
    assert heard[0] == [1, 5, 9]
    assert again == [13, 17, 21, 25, 29, 33]
