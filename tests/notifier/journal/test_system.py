"""A journal in a system: what happens is kept, and numbers go on after a restart."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
import weakref
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import trio

import brama
from brama import composition
from brama.actors import kill
from brama.notifier import JournalError
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement
CRITICAL = ["state_change", "circuit_opened", "circuit_closed"]


def seqs(system, **limits) -> list:
    return [event.seq for event in system.replay(events=CRITICAL, **limits)]


@requirement("EV-14")
def test_what_happened_is_replayed_as_it_was_told(systems, recorder):
    system, heard = systems(), recorder()
    system.subscribe(heard, events=CRITICAL)
    circuit = system.circuit("search", scope="shop")
    circuit.open_circuit("first")
    circuit.close_circuit("second")
    told = heard.wait(4)
    replayed = list(system.replay(events=CRITICAL))
    assert replayed == [event.delivery(0, redelivered=False) for event in told]


def test_a_system_that_was_stopped_waits_for_nobody_to_write(systems):
    system = systems()
    system.circuit("search").open_circuit("before")
    system.stop()
    system.circuit("search").close_circuit("after")
    started = time.monotonic()
    assert not system.flush(60)
    assert [event.event for event in system.replay(events=CRITICAL)] == CRITICAL[:2]
    assert time.monotonic() - started < 5


@requirement("EV-14")
def test_events_outlive_the_system_that_they_happened_in(systems):
    first = systems()
    first.circuit("search").open_circuit("before")
    first.stop()
    second = systems()
    assert [event.data["reason"] for event in second.replay(events=["circuit_opened"])] == [
        "before"
    ]


@requirement("EV-12")
def test_epoch_and_number_go_on_after_a_restart(systems):
    for reason in ("one", "two", "three"):
        system = systems()
        system.circuit("search").open_circuit(reason)
        system.circuit("search").close_circuit(reason)
        system.stop()
    events = list(systems().replay(events=CRITICAL))
    assert [event.seq for event in events] == list(range(1, 13))
    assert len({(event.source, event.epoch) for event in events}) == 1
    assert len({event.event_id for event in events}) == 12


def test_a_circuit_that_is_registered_anew_begins_a_new_epoch_with_one(systems):
    first = systems()
    first.circuit("search").open_circuit()
    first.stop()
    second = systems()
    second.circuit("search").open_circuit()
    second.unregister("search")
    second.circuit("search").open_circuit()
    events = list(second.replay(events=["circuit_opened"]))
    assert [event.seq for event in events] == [2, 4, 2]
    assert events[0].epoch == events[1].epoch < events[2].epoch


def test_a_source_that_did_not_end_in_good_order_begins_a_new_epoch_and_counts_on(systems):
    first = systems()
    first.circuit("search").open_circuit()
    assert first.flush()
    first.journal.owner._close()  # what the system does when a process is killed
    second = systems()
    second.circuit("search").open_circuit()
    one, two = second.replay(events=["circuit_opened"])
    assert (one.source, two.source) == ("brama-1", "brama-1")
    assert (one.seq, two.seq) == (2, 4)
    assert two.epoch > one.epoch


def test_two_systems_share_a_file_and_each_numbers_for_itself(systems):
    one, two = systems(), systems()
    for system in (one, two):
        for _ in range(3):
            system.circuit("search").open_circuit()
            system.circuit("search").close_circuit()
    assert one.flush()
    assert two.flush()
    events = list(one.replay(events=CRITICAL))
    for source in ("brama-1", "brama-2"):
        mine = [event.seq for event in events if event.source == source]
        assert mine == list(range(1, 13))


def test_events_of_single_calls_are_not_kept_and_not_even_built(systems):
    system = systems()
    circuit = system.circuit("search", failure_threshold=5)
    circuit.success()
    circuit.failure("x")
    assert {event.event for event in system.replay()} == {"registration", "connection_registered"}


@requirement("EV-14")
def test_a_range_of_time_is_replayed_and_an_unknown_one_is_empty(systems, monkeypatch):
    system = systems(max_age=None)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    wall = [start.timestamp()]
    system._shared.wall = lambda: wall[0]
    circuit = system.circuit("search")
    for number in range(6):
        wall[0] = (start + timedelta(minutes=number)).timestamp()
        (circuit.close_circuit if number % 2 else circuit.open_circuit)(str(number))

    def reasons(**limits) -> list[str]:
        return [e.data["reason"] for e in system.replay(events=["state_change"], **limits)]

    assert reasons() == list("012345")
    assert reasons(since=start + timedelta(minutes=2)) == list("2345")
    assert reasons(until=start + timedelta(minutes=2)) == list("01")
    assert reasons(since=start + timedelta(minutes=1), until=wall[0]) == list("1234")
    assert reasons(since=start + timedelta(days=9)) == []
    assert reasons(since=timedelta(minutes=5)) == []
    assert reasons(connection="other") == []
    assert reasons(connection="search", scope="shop") == []


@requirement("EV-14")
@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"since": -1e300}, 1),
        ({"since": timedelta.max}, 1),
        ({"since": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))}, 1),
        ({"until": datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))}, 1),
        ({"since": 10**30}, 0),
        ({"since": 1e300}, 0),
        ({"since": 2_000.0, "until": 1_000.0}, 0),
    ],
)
def test_a_range_beyond_all_times_is_as_good_as_any(systems, limits, found):
    system = systems()
    system.circuit("search").open_circuit()
    assert system.flush()
    assert len(list(system.replay(events=["state_change"], **limits))) == found


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"since": datetime(2026, 1, 1)}, "a time with its zone"),
        ({"until": "yesterday"}, "a datetime, a timedelta or a POSIX time"),
        ({"since": float("nan")}, "a datetime, a timedelta or a POSIX time"),
        ({"until": float("inf")}, "a datetime, a timedelta or a POSIX time"),
        ({"since": -timedelta(1)}, "since must be"),
        ({"since": True}, "a datetime, a timedelta or a POSIX time"),
        ({"events": ["nonsense"]}, "one of state_change"),
        ({"connection": ""}, "connection must be"),
    ],
)
def test_a_wrong_range_is_refused(systems, limits, says):
    with pytest.raises(ConfigError) as caught:
        systems().replay(**limits)
    assert says in str(caught.value)


def test_a_replay_reads_page_by_page_and_sees_what_comes_meanwhile(systems, monkeypatch):
    monkeypatch.setattr("brama.notifier.journal.replay.Replay.rows.__defaults__", (0, 3))
    system = systems()
    circuit = system.circuit("search")
    for _ in range(4):
        circuit.open_circuit()
        circuit.close_circuit()
    replay = iter(system.replay(events=CRITICAL))
    seen = [next(replay).seq for _ in range(4)]
    circuit.open_circuit("late")
    assert system.flush()
    assert [*seen, *(event.seq for event in replay)] == list(range(1, 19))


@pytest.mark.parametrize("run", [trio.run, asyncio.run], ids=["trio", "asyncio"])
def test_a_replay_can_be_iterated_over_on_any_loop(systems, run):
    system = systems()
    system.circuit("search").open_circuit()
    replay = system.replay(events=CRITICAL)

    async def main() -> list:
        return [event.seq async for event in replay]

    assert run(main) if run is trio.run else run(main()) == [1, 2]


def test_a_handler_on_brama_s_own_loop_may_replay_and_holds_nothing_up(systems, recorder):
    system, heard = systems(), recorder()
    found = []

    async def handler(event: brama.Event) -> None:
        started = time.monotonic()
        found.append([event.seq for event in system.replay(events=CRITICAL, timeout=5)])
        found.append(time.monotonic() - started)
        heard(event)

    system.circuit("search").open_circuit()
    assert system.flush()
    system.subscribe(handler, events=["circuit_closed"])
    system.circuit("search").close_circuit()
    heard.wait(1)
    assert found[0][:2] == [1, 2]
    assert found[1] < 4


def test_a_replay_of_a_file_that_is_gone_says_so(systems, path):
    system = systems()
    system.circuit("search").open_circuit()
    replay = system.replay()
    system.stop()
    path.unlink()
    with pytest.raises(JournalError, match="there is no journal"):
        list(replay)


@requirement("EV-14")
def test_a_store_that_is_killed_loses_nothing(systems, until):
    system = systems()
    system.start()
    circuit = system.circuit("search")
    for turn in range(20):
        circuit.open_circuit()
        circuit.close_circuit()
        if turn % 5 == 0:
            kill(system.actors.names.whereis("store"))
    assert system.flush(10)
    assert seqs(system) == list(range(1, 81))


def test_the_health_and_the_status_tell_how_it_does(systems, path):
    system = systems()
    system.circuit("search").open_circuit()
    assert system.flush()
    status = system.journal.status()
    assert (status.path, status.source, status.waiting, status.failing) == (
        path,
        "brama-1",
        0,
        None,
    )
    assert status.appended == 4
    assert system.health().status == "ok"


# When the file cannot be written


@pytest.fixture
def holder(path):
    held = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    yield held
    held.close()


@requirement("EV-14")
def test_a_locked_file_is_told_of_and_written_when_it_is_free(
    systems, holder, recorder, caplog, until
):
    system, alarms = systems(busy_timeout=0.05), recorder()
    system.subscribe(alarms, events=["alarm"])
    circuit = system.circuit("search")
    circuit.open_circuit()
    assert system.flush()
    holder.execute("BEGIN IMMEDIATE")
    circuit.close_circuit()
    [alarm] = alarms.wait(1)
    assert (alarm.data["subject"], alarm.data["status"]) == ("journal", "failing")
    assert alarm.severity == "critical"
    assert system.health().status == "degraded"
    assert "locked" in system.health().reasons[0]
    assert not system.flush(0.05)
    holder.execute("ROLLBACK")
    assert system.flush(10)
    assert alarms.wait(2)[1].data["status"] == "recovered"
    until(lambda: system.health().status == "ok")
    assert seqs(system) == [1, 2, 3, 4]
    errors = [r for r in caplog.records if r.levelno == logging.ERROR and "locked" in r.message]
    assert len(errors) == 1


def test_what_a_stop_could_not_write_is_not_told_of_once_more_at_the_exit(systems, holder, caplog):
    system = systems(busy_timeout=0.02)
    circuit = system.circuit("search")
    assert system.flush()
    holder.execute("BEGIN IMMEDIATE")
    circuit.open_circuit()
    system.stop(1)
    composition._finish_at_exit(weakref.ref(system))
    holder.execute("ROLLBACK")
    told = [record.getMessage() for record in caplog.records]
    assert [text.split(";")[1] for text in told if "not written" in text] == [
        " 2 events were not written"
    ]


def test_a_file_that_comes_and_goes_does_not_fill_the_log(systems, holder, caplog, until):
    system = systems(busy_timeout=0.02)
    circuit = system.circuit("search")
    assert system.flush()
    for _ in range(3):
        holder.execute("BEGIN IMMEDIATE")
        circuit.open_circuit()
        circuit.close_circuit()
        until(lambda: system.journal.failing is not None)
        holder.execute("ROLLBACK")
        until(lambda: system.journal.failing is None)
    lines = [record.levelname for record in caplog.records if record.name == "brama.notifier"]
    assert lines == ["ERROR", "WARNING"]
    assert "works again" in caplog.text


def test_while_the_file_cannot_be_written_memory_is_bounded_and_the_latest_states_are_kept(
    systems, holder, path
):
    system = systems(busy_timeout=0.05, backlog=100)
    circuits = [system.circuit(f"c{number}") for number in range(5)]
    assert system.flush()
    holder.execute("BEGIN IMMEDIATE")
    for _ in range(100):
        for circuit in circuits:
            circuit.open_circuit()
            circuit.close_circuit()
    circuits[0].open_circuit("the end")
    assert not system.flush(0.2)
    assert system.journal.status().waiting <= 100 + 5 * 2
    holder.execute("ROLLBACK")
    assert system.flush(10)
    events = list(system.replay())
    [gap] = [event for event in events if event.event == "gap"]
    kept = [event for event in events if event.critical]
    assert gap.data["lost"] + len(kept) >= 5 * 400 + 2
    last = {event.connection: event.data["new_state"] for event in kept}
    assert last == {"c0": "open", "c1": "closed", "c2": "closed", "c3": "closed", "c4": "closed"}
    assert system.journal.status().lost == gap.data["lost"]


def test_a_deleted_file_is_begun_anew(systems, path, until):
    system = systems()
    circuit = system.circuit("search")
    circuit.open_circuit()
    assert system.flush()
    for part in path.parent.glob("journal.sqlite*"):
        part.unlink()
    circuit.close_circuit()
    assert system.flush(10)
    until(lambda: system.health().status == "ok")
    assert seqs(system) == [3, 4]


def test_a_file_that_is_cut_to_nothing_is_begun_anew(systems, path, until):
    system = systems()
    circuit = system.circuit("search")
    circuit.open_circuit()
    assert system.flush()
    os.truncate(path, 0)
    circuit.close_circuit()
    assert system.flush(10)
    until(lambda: system.health().status == "ok")
    assert seqs(system) == [3, 4]
    assert system.stop().complete
    assert seqs(system) == [3, 4]


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: os.truncate(path, 0)])
def test_a_process_that_holds_the_deleted_file_does_not_keep_a_new_one_from_being_begun(
    systems, path, harm
):
    system = systems()
    circuit = system.circuit("search")
    circuit.open_circuit()
    assert system.flush()
    program = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); "
    program += "db.execute('SELECT count(*) FROM events').fetchone(); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        harm(path)
        circuit.close_circuit()
        assert system.flush(10)
        assert seqs(system) == [3, 4]
        holder.communicate(b"\n")
    circuit.open_circuit()
    assert system.flush()
    assert seqs(system) == [3, 4, 5, 6]


def test_a_value_that_no_json_can_carry_stops_no_journal(systems):
    system = systems()
    breaker = system.circuit("search")._breaker
    for value in (10**5000, "\ud800"):
        breaker.announce("value_changed", {"previous": value, "current": 1, "reason": None})
    system.circuit("search").open_circuit()
    assert system.flush()
    names = [event.event for event in system.replay()]
    assert names.count("value_changed") == 2
    assert names[-1] == "circuit_opened"


def test_a_damaged_file_is_set_aside_at_the_start(systems, path, caplog, until):
    path.write_bytes(b"SQLite format 3\0" + b"this was a journal once" * 1000)
    system = systems()
    system.circuit("search").open_circuit()
    assert system.flush(10)
    assert seqs(system) == [1, 2]
    [aside] = path.parent.glob("journal.sqlite.damaged-*")
    assert aside.read_bytes().endswith(b"this was a journal once")
    until(lambda: system.health().status == "ok")


def test_a_file_of_somebody_else_is_left_alone_and_circuits_protect(systems, path, until):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE customers (name)")
    other.commit()
    other.close()
    before = path.read_bytes()
    system = systems()
    circuit = system.circuit("search")
    circuit.open_circuit()
    until(lambda: system.health().status == "degraded")
    assert not circuit.available()
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone_and_its_place_taken_when_it_goes(
    systems, path, until
):
    path.write_text("[app]\nkey = 1\n" * 50)
    system = systems()
    system.circuit("search").open_circuit()
    until(lambda: system.health().status == "degraded")
    assert path.read_text().startswith("[app]")
    assert not list(path.parent.glob("*damaged*"))
    path.unlink()
    assert system.flush(10)
    assert seqs(system) == [1, 2]


def test_a_journal_that_fails_from_the_start_is_an_alarm_for_those_who_have_subscribed(
    tmp_path, recorder, until
):
    alarms = recorder()
    system = brama.System(brama.Settings(), journal=tmp_path / "none" / "journal.sqlite")
    system.subscribe(alarms, events=["alarm"])
    try:
        [alarm] = alarms.wait(1)
        assert (alarm.data["subject"], alarm.data["status"]) == ("journal", "failing")
    finally:
        system.stop()


def test_a_folder_that_is_not_there_is_waited_for(tmp_path, until):
    folder = tmp_path / "later"
    system = brama.System(brama.Settings(journal=folder / "journal.sqlite"))
    system.circuit("search").open_circuit()
    until(lambda: system.health().status == "degraded")
    folder.mkdir()
    assert system.flush(10)
    assert seqs(system) == [1, 2]
    system.stop()


def test_a_system_stops_in_time_although_the_file_hangs(systems, holder):
    system = systems(busy_timeout=0.05)
    system.circuit("search").open_circuit()
    assert system.flush()
    holder.execute("BEGIN IMMEDIATE")
    system.circuit("search").close_circuit()
    assert system.stop(5).complete


def test_retention_runs_by_itself(systems, until, monkeypatch):
    monkeypatch.setattr("brama.notifier.journal.store.SWEEP_EVERY", 0.05)
    system = systems(max_events=10)
    circuit = system.circuit("search")
    for _ in range(20):
        circuit.open_circuit()
        circuit.close_circuit()
    assert system.flush()
    until(lambda: len(seqs(system)) <= 10)
    assert seqs(system)[-1] == 80


@requirement("DT-08")
@pytest.mark.soak
def test_neither_a_stuck_disk_nor_a_stuck_handler_is_felt_by_a_guarded_call(
    systems, holder, recorder
):
    """Half of the calls fail, so that events are made; the 99th percentile moves by < 50 µs."""
    free = threading.Event()

    def p99(circuit) -> float:
        times = []
        for number in range(4000):
            started = time.perf_counter()
            with circuit.guard() as permit:
                if number % 2:
                    permit.failure("x")
            times.append(time.perf_counter() - started)
            if number % 10 == 9:
                circuit.open_circuit()
                circuit.close_circuit()
        return sorted(times)[len(times) * 99 // 100]

    system = systems(busy_timeout=0.5)
    system.subscribe(recorder(), events=["failure", "state_change"])
    calm = min(p99(system.circuit(f"calm {turn}", failure_threshold=10**6)) for turn in range(3))
    assert system.flush(30)
    system.subscribe(lambda _event: free.wait(30), events=["failure", "state_change"])
    holder.execute("BEGIN IMMEDIATE")
    stuck = min(p99(system.circuit(f"stuck {turn}", failure_threshold=10**6)) for turn in range(3))
    assert system.journal.status().waiting > 0
    holder.execute("ROLLBACK")
    free.set()
    print(f"p99 {calm * 1e6:.1f} us, stuck {stuck * 1e6:.1f} us")
    assert stuck - calm < 50e-6


@requirement("SB-11")
def test_four_threads_and_ten_thousand_events_are_kept_in_order(systems):
    system = systems(sync="never", backlog=100_000)

    def work(name: str) -> None:
        circuit = system.circuit(name)
        for _ in range(250):
            circuit.open_circuit()
            circuit.close_circuit()

    threads = [threading.Thread(target=work, args=(f"c{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert system.flush(30)
    events = list(system.replay(events=CRITICAL))
    for number in range(4):
        mine = [event.seq for event in events if event.connection == f"c{number}"]
        assert mine == list(range(1, 1001))
