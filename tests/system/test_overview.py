"""All circuits at a glance, a page of them, and what has changed since."""

from __future__ import annotations

import gc
import json
import os
import threading
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

import pytest

import brama
from brama.circuits import CircuitSummary
from brama.circuits.feed import LIMIT
from brama.telemetry import have_pools, metrics, pools, telemetry_health
from brama.telemetry.health import ExportHealth


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def system(clock: Clock) -> Iterator[brama.System]:
    pools.reset()
    with brama.System(brama.Settings(clock=clock)) as system:
        yield system
    pools.reset()


def named(summaries: tuple[CircuitSummary, ...]) -> list[str]:
    return [one.connection for one in summaries]


# Overview


def test_an_overview_counts_the_circuits_by_state_and_by_pool(system: brama.System) -> None:
    system.circuit("search").open_circuit()
    system.circuit("search", scope="web")
    system.circuit("mail").disable()
    system.circuit("pay").force_open()
    system.circuit("stock").metrics_only()
    system.circuit("gone").open_circuit()
    system.unregister("gone")

    seen = system.overview()
    assert seen.circuits == 5
    assert seen.states == {
        "closed": 1,
        "open": 1,
        "half_open": 0,
        "forced_open": 1,
        "disabled": 1,
        "metrics_only": 1,
    }
    assert seen.pools["search"] == {"closed": 1, "open": 1}
    assert seen.pools["mail"] == {"closed": 0, "disabled": 1}
    assert sum(sum(states.values()) for states in seen.pools.values()) == 5


def test_a_circuit_whose_time_is_over_is_half_open_as_its_state_says(
    system: brama.System, clock: Clock
) -> None:
    circuit = system.circuit("search", expiry=30.0)
    circuit.open_circuit()
    clock.now += 30
    assert system.overview().states["half_open"] == 1
    assert named(system.listing(state="half_open").circuits) == ["search"]
    assert system.listing(state="open").matching == 0


def test_the_counts_follow_every_change(system: brama.System) -> None:
    circuit = system.circuit("search")
    for order, state in (
        ("open_circuit", "open"),
        ("close_circuit", "closed"),
        ("force_open", "forced_open"),
        ("disable", "disabled"),
        ("metrics_only", "metrics_only"),
        ("reset_circuit", "closed"),
    ):
        getattr(circuit, order)()
        assert system.overview().states[state] == 1, order
    isolation = circuit.isolate()
    assert system.overview().states["forced_open"] == 1
    isolation.release()
    assert system.overview().states["closed"] == 1


def test_every_circuit_is_counted_once_in_its_pool_and_state_whatever_comes_and_goes(
    system: brama.System, clock: Clock
) -> None:
    orders = ("open_circuit", "force_open", "disable", "metrics_only")
    circuits = [
        system.circuit(f"c{number % 230}", scope=None if number < 230 else "web")
        for number in range(300)
    ]
    for number, circuit in enumerate(circuits):
        if number % 3 == 0:
            getattr(circuit, orders[number % 4])()
        elif number % 7 == 0:
            circuit.open_circuit(expires_in=10)  # which will be over
    clock.now += 20

    def counted() -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for circuit in system.circuits():
            own = pools.pool(circuit.name)
            of_pool = found.setdefault(own, {"closed": 0})
            of_pool[circuit.state.value] = of_pool.get(circuit.state.value, 0) + 1
        return found

    def seen() -> dict[str, dict[str, int]]:
        return {pool: dict(states) for pool, states in system.overview().pools.items()}

    assert seen() == counted()
    assert len(seen()) == 201
    for circuit in circuits[::11]:
        system.unregister(circuit.name, scope=circuit.scope)
    for number in range(20):
        system.circuit(f"d{number}", initial_state="disabled")
    circuits[1].force_open()
    assert seen() == counted()
    total = system.overview()
    assert sum(total.states.values()) == total.circuits == len(system.circuits())


def test_of_very_many_failing_circuits_those_with_the_longest_rows_are_compared(
    system: brama.System,
) -> None:
    for number in range(2500):
        circuit = system.circuit(f"c{number}", failure_threshold=100)
        circuit.success()
        for _ in range(1 + (number in (7, 1200, 2499))):
            circuit.failure()
    assert sorted(named(system.overview(worst=3).worst)) == ["c1200", "c2499", "c7"]


def test_a_circuit_that_begins_in_another_state_is_counted_there(system: brama.System) -> None:
    system.circuit("search", initial_state="disabled")
    assert system.overview().states["disabled"] == 1
    system.unregister("search")
    assert system.overview().states["disabled"] == 0


def test_the_worst_have_the_highest_error_rate_and_of_equal_ones_the_most_calls(
    system: brama.System,
) -> None:
    for name, good, bad in (("fine", 9, 0), ("half", 2, 2), ("often", 4, 4), ("all", 0, 3)):
        circuit = system.circuit(name, failure_threshold=100)
        for _ in range(good):
            circuit.success()
        for _ in range(bad):
            circuit.failure("HTTP 503")
    worst = system.overview(worst=3).worst
    assert named(worst) == ["all", "often", "half"]
    assert [one.error_rate for one in worst] == [1.0, 0.5, 0.5]
    assert [one.calls for one in worst] == [3, 8, 4]
    assert system.overview(worst=0).worst == ()


def test_a_circuit_that_failed_long_ago_is_none_of_the_worst(
    system: brama.System, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = [1e9]
    system._shared.wall = lambda: wall[0]
    system.circuit("old").failure()
    wall[0] += 61
    system.circuit("new").failure()
    assert named(system.overview().worst) == ["new"]
    assert set(named(system.overview(within=120).worst)) == {"old", "new"}


def test_the_last_transitions_are_told_newest_first(system: brama.System) -> None:
    circuit = system.circuit("search", scope="web")
    circuit.open_circuit("deploy")
    circuit.close_circuit()
    last, first = system.overview().recent
    assert (first.connection, first.scope, first.reason) == ("search", "web", "deploy")
    assert (first.previous_state, first.new_state) == ("closed", "open")
    assert (last.previous_state, last.new_state) == ("open", "closed")
    assert last.version > first.version
    assert len(system.overview(recent=1).recent) == 1


def test_totals_are_exact_and_outlive_the_circuits(system: brama.System) -> None:
    circuit = system.circuit("search", ignore=KeyError)
    for _ in range(3):
        circuit.call(lambda: None)
    circuit.failure()
    with pytest.raises(KeyError):
        circuit.call({}.__getitem__, "missing")
    circuit.force_open()
    assert circuit.try_acquire() is None

    def totals() -> tuple[int, ...]:
        for _ in range(100):  # a look that is short of time adds up a part
            found = system.overview().totals
        assert found is not None
        return found.calls, found.successes, found.failures, found.ignored, found.refused

    assert totals() == (5, 3, 1, 1, 1)
    system.unregister("search")
    assert totals() == (5, 3, 1, 1, 1)
    system.circuit("search").success()
    assert totals() == (6, 4, 1, 1, 1)


def test_an_overview_is_frozen_and_json(system: brama.System) -> None:
    system.circuit("search").force_open("deploy")
    system.circuit("mail").failure()
    seen = system.overview()
    with pytest.raises(AttributeError):
        seen.circuits = 7  # type: ignore[misc]
    with pytest.raises(TypeError):
        seen.states["open"] = 7  # type: ignore[index]
    for one in (seen, system.listing(), system.changes(seen.version - 1)):
        told = json.loads(json.dumps(one.to_dict(), allow_nan=False))
        assert told["version"] == seen.version


def test_what_telemetry_could_not_do_is_told(system: brama.System) -> None:
    assert not system.overview().telemetry.exporting
    before = metrics.dropped.snapshot().get(("overflow",), 0)
    metrics.dropped.add("overflow", count=3)
    lost = telemetry_health().lost.get("traces", 0)
    health = ExportHealth("traces", "nowhere")
    health.show()
    health.lost(5)
    seen = system.overview()
    assert seen.telemetry.exporting
    assert seen.telemetry.failing_since is not None
    assert seen.telemetry.lost["traces"] == lost + 5
    health.delivered()
    assert system.overview().telemetry.failing_since is None
    assert seen.dropped["overflow"] == before + 3
    health.hide()
    assert not telemetry_health().exporting


def test_pools_beyond_the_limit_are_counted_as_other_without_a_word() -> None:
    few = pools.Pools(limit=2)
    assert few.have(["a", "b", "a", "c", "d"]) == [True, True, True, False, False]
    assert not few._warned
    assert len(have_pools(["x", "y"])) == 2


# Listing


def test_pages_go_through_all_circuits_once_by_name_and_scope(system: brama.System) -> None:
    keys = [(None, f"c{number:03}") for number in range(50)]
    keys += [("web", f"c{number:03}") for number in range(0, 50, 2)]
    for scope, name in reversed(keys):
        system.circuit(name, scope=scope)
    seen: list[tuple[str, str | None]] = []
    cursor = None
    while True:
        page = system.listing(limit=7, cursor=cursor)
        assert page.matching == 75
        assert len(page.circuits) <= 7
        seen += [(one.connection, one.scope) for one in page.circuits]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == sorted(((name, scope) for scope, name in keys), key=lambda k: (k[0], k[1] or ""))


def test_a_page_goes_on_where_the_one_before_has_ended_whatever_comes_and_goes(
    system: brama.System,
) -> None:
    for name in "bdfh":
        system.circuit(name)
    first = system.listing(limit=2)
    assert named(first.circuits) == ["b", "d"]
    system.unregister("d")
    system.circuit("a")
    system.circuit("e")
    assert named(system.listing(limit=5, cursor=first.cursor).circuits) == ["e", "f", "h"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("pay", ["Payments-eu", "payments-us", "repay"]),
        ("PAY", ["Payments-eu", "payments-us", "repay"]),
        ("pay*", ["Payments-eu", "payments-us"]),
        ("*-??", ["Payments-eu", "payments-us"]),
        ("[r]epay", ["repay"]),
        ("nothing", []),
        ("", ["Payments-eu", "mail", "payments-us", "repay"]),
    ],
)
def test_a_query_is_a_part_of_the_name_or_a_pattern_for_all_of_it(
    system: brama.System, query: str, found: list[str]
) -> None:
    for name in ("Payments-eu", "payments-us", "repay", "mail"):
        system.circuit(name)
    page = system.listing(query=query)
    assert named(page.circuits) == found
    assert page.matching == len(found)


def test_a_listing_is_filtered_by_state_and_scope(system: brama.System) -> None:
    system.circuit("a").open_circuit("deploy")
    system.circuit("a", scope="web").open_circuit()
    system.circuit("b", scope="web")
    assert [one.scope for one in system.listing(state="open").circuits] == [None, "web"]
    assert named(system.listing(scope="web").circuits) == ["a", "b"]
    assert named(system.listing(scope=None).circuits) == ["a"]
    assert named(system.listing(scope="web", state=brama.State.CLOSED).circuits) == ["b"]
    (one,) = system.listing(scope=None).circuits
    assert (one.state, one.reason, one.retry_after) == ("open", "deploy", 60.0)


def test_a_listing_by_error_rate_is_one_page_of_those_that_have_failed_the_worst_first(
    system: brama.System,
) -> None:
    for name, good, bad in (("fine", 9, 0), ("half", 2, 2), ("often", 4, 4), ("all", 0, 3)):
        circuit = system.circuit(name, failure_threshold=100)
        for _ in range(good):
            circuit.success()
        for _ in range(bad):
            circuit.failure("HTTP 503")
    system.circuit("shut").force_open()
    system.circuit("all", scope="web").failure()
    worst = system.listing(order="error_rate")
    assert named(worst.circuits) == ["all", "all", "often", "half", "shut"]
    assert [one.scope for one in worst.circuits[:2]] == [None, "web"]
    assert (worst.matching, worst.cursor) == (6, None)
    assert named(system.listing(order="error_rate", limit=1).circuits) == ["all"]
    some = system.listing(order="error_rate", query="*f*", state="closed")
    assert (named(some.circuits), some.matching) == (["often", "half"], 3)
    assert named(system.listing(order="error_rate", scope="web").circuits) == ["all"]
    page = system.listing(limit=1)
    with pytest.raises(brama.ConfigError, match="cursor"):
        system.listing(order="error_rate", cursor=page.cursor)


def test_a_summary_says_what_the_status_says(system: brama.System, clock: Clock) -> None:
    circuit = system.circuit("search", scope="web", failure_threshold=2)
    circuit.success()
    permit = circuit.try_acquire()
    for _ in range(2):
        circuit.failure("down")
    clock.now += 1
    (one,) = system.listing().circuits
    status = circuit.status()
    assert permit is not None
    for field in (
        *("connection", "scope", "state", "failure_count", "calls", "successes", "failures"),
        *("refused", "in_flight", "opened_count", "last_failure_time", "retry_after"),
    ):
        assert getattr(one, field) == getattr(status, field), field
    assert one.since == status.last_transition_at
    assert one.error_rate == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": True},
        {"state": "opened"},
        {"query": 7},
        {"scope": ""},
        {"cursor": "x"},
        {"cursor": 7},
        {"order": "worst"},
        {"order": ["name"]},
    ],
)
def test_a_wrong_argument_of_a_listing_is_said(system: brama.System, wrong: Any) -> None:
    with pytest.raises(brama.ConfigError, match=next(iter(wrong))):
        system.listing(**wrong)


@pytest.mark.parametrize("wrong", [{"worst": -1}, {"recent": "all"}, {"within": -1}])
def test_a_wrong_argument_of_an_overview_is_said(system: brama.System, wrong: Any) -> None:
    with pytest.raises(brama.ConfigError, match=next(iter(wrong))):
        system.overview(**wrong)


# Changes


def test_only_what_has_changed_since_is_told_once_each_as_it_is_now(system: brama.System) -> None:
    for name in ("a", "b", "c", "d"):
        system.circuit(name)
    seen = system.overview().version
    assert system.changes(seen).circuits == ()
    system.circuit("b").open_circuit()
    system.circuit("c").open_circuit()
    system.circuit("b").close_circuit()
    system.unregister("d")
    system.circuit("e")
    system.circuit("a").call(lambda: None)

    news = system.changes(since=seen)
    assert news.complete
    assert not news.more
    assert {one.connection: one.state.value for one in news.circuits} == {
        "b": "closed",
        "c": "open",
        "e": "closed",
    }
    assert news.removed == ((None, "d"),)
    after = system.changes(since=news.version)
    assert (after.circuits, after.removed, after.version) == ((), (), news.version)


@pytest.mark.parametrize(
    ("order", "left"),
    [
        (lambda circuit: circuit.open_circuit(expires_in=5), 5.0),
        (lambda circuit: circuit.set_expiry(90), 90.0),
        (lambda circuit: circuit.disable_expiry(), inf),
        (lambda circuit: circuit.load(circuit.dump() | {"remaining": 7.0}), 7.0),
    ],
    ids=["open_circuit", "set_expiry", "disable_expiry", "load"],
)
def test_an_open_circuit_that_is_to_be_open_for_another_time_has_changed(
    system: brama.System, order: Callable[[brama.Circuit], object], left: float
) -> None:
    system._shared.wall = lambda: 1e9
    circuit = system.circuit("search")
    circuit.open_circuit(expires_in=30)
    seen = system.overview()
    order(circuit)
    (one,) = system.changes(seen.version).circuits
    assert (one.state, one.retry_after) == ("open", left)
    assert system.overview().recent == seen.recent


def test_changes_come_in_pieces_and_none_is_missed(system: brama.System) -> None:
    seen = system.overview().version
    for number in range(25):
        system.circuit(f"c{number:02}").open_circuit()
    found: list[str] = []
    while True:
        news = system.changes(seen, limit=10)
        assert len(news.circuits) <= 10
        found += named(news.circuits)
        seen = news.version
        if not news.more:
            break
    assert sorted(set(found)) == [f"c{number:02}" for number in range(25)]
    assert seen == system.overview().version


@pytest.mark.parametrize("since", [None, 0, 1, 10**18])
def test_whoever_asks_for_what_is_not_remembered_is_told_to_list_anew(
    system: brama.System, since: int | None
) -> None:
    system.circuit("search").open_circuit()
    news = system.changes(since)
    assert not news.complete
    assert news.circuits == ()
    assert system.changes(news.version).complete


def test_of_very_many_changes_the_last_are_remembered_and_no_circuit_is_kept_alive(
    system: brama.System,
) -> None:
    seen = system.overview().version
    for number in range(LIMIT // 2):
        system.circuit(f"c{number}")
        system.unregister(f"c{number}")
    assert system.changes(seen).complete
    system.circuit("one too many")
    assert not system.changes(seen).complete
    assert len(system._shared.tray.entries) <= LIMIT
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, CircuitSummary)]
    assert len(system._catalogue._gone) == 0


def test_what_is_lost_while_nobody_looks_is_found_by_asking_all(system: brama.System) -> None:
    circuits = [system.circuit(f"c{number}") for number in range(3)]
    seen = system.overview()
    circuits[1].force_open()
    for _ in range(LIMIT):
        circuits[0].open_circuit()
        circuits[0].close_circuit()
    system.unregister("c2")
    now = system.overview()
    assert {state: number for state, number in now.states.items() if number} == {
        "closed": 1,
        "forced_open": 1,
    }
    assert sum(sum(states.values()) for states in now.pools.values()) == 2
    assert not system.changes(seen.version).complete
    assert system.changes(now.version).complete
    assert now.recent[0].connection == "c0"


def test_no_change_is_missed_between_two_threads(system: brama.System) -> None:
    circuits = [system.circuit(f"c{number}") for number in range(8)]
    done = threading.Event()
    seen = system.overview().version
    states: dict[str, str] = {}

    def move(circuit: brama.Circuit) -> None:
        for _ in range(50):
            circuit.open_circuit()
            circuit.close_circuit()
        circuit.disable()

    threads = [threading.Thread(target=move, args=(circuit,)) for circuit in circuits]
    for thread in threads:
        thread.start()

    def look() -> None:
        nonlocal seen
        news = system.changes(seen)
        assert news.complete
        seen = news.version
        states.update((one.connection, one.state.value) for one in news.circuits)

    while any(thread.is_alive() for thread in threads):
        look()
    done.set()
    look()
    assert states == {f"c{number}": "disabled" for number in range(8)}
    assert system.overview().states["disabled"] == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_the_child_of_a_fork_has_changes_of_its_own(system: brama.System) -> None:
    circuit = system.circuit("search")
    circuit.failure()
    circuit.open_circuit()
    seen = system.overview(recent=0).version
    child = os.fork()
    if not child:
        code = 1
        try:
            here = system.overview()
            same = here.states["open"] == 1 and here.recent == () and here.version != seen
            if same and not system.changes(seen).complete:
                circuit.close_circuit()
                moved = system.changes(here.version).circuits
                code = 0 if [one.state.value for one in moved] == ["closed"] else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_the_words_of_the_default_system_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from brama.default import replace_default

    with brama.System() as system:
        former = replace_default(system)
        try:
            brama.circuit("search").open_circuit()
            assert brama.overview().states["open"] == 1
            assert named(brama.listing(state="open").circuits) == ["search"]
            assert brama.changes(brama.overview().version).complete
        finally:
            replace_default(former)


def test_what_was_told_is_not_kept(system: brama.System) -> None:
    for number in range(100):
        circuit = system.circuit(f"c{number}")
        circuit.open_circuit()
        circuit.close_circuit()
    system.overview()
    assert len(system._shared.tray.entries) == 1
