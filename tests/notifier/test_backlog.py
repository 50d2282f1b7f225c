"""What waits and what is lost: the pure backlog against a model of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brama.circuits import Event, Severity
from brama.notifier.backlog import Backlog, Gap

requirement = pytest.mark.requirement


def make(number: int, *, critical: bool, connection: str = "a", kind: str = "failure") -> Event:
    return Event(
        event="state_change" if critical else kind,
        connection=connection,
        scope=None,
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        monotonic=0.0,
        epoch=1,
        seq=number if critical else None,
        event_id=str(number),
        severity=Severity.INFO,
        data={},
    )


def drain(backlog: Backlog) -> list[Any]:
    """Events by their numbers, gaps as negative counts."""
    found = []
    while backlog:
        one = backlog.pop()
        if one is not None:
            found.append(-one.lost if isinstance(one, Gap) else int(one.event_id))
    return found


OFFERS = st.lists(
    st.tuples(st.booleans(), st.sampled_from("abc"), st.sampled_from(["failure", "success", None])),
    max_size=120,
)


@given(OFFERS, st.sampled_from(["drop_oldest", "drop_newest", "coalesce"]), st.integers(1, 6))
def test_nothing_is_lost_in_silence_and_the_order_holds(offers, overflow, limit):
    backlog = Backlog(limit, 8, overflow)
    sent, lost, got = 0, 0, []
    kept: dict[str, list[int]] = {}
    last: dict[tuple[str, str], int] = {}
    for critical, connection, kind in offers:
        if kind is None:
            found = backlog.pop()
            if found is not None:
                got.append(-found.lost if isinstance(found, Gap) else int(found.event_id))
            continue
        event = make(sent, critical=critical, connection=connection, kind=kind)
        lost += backlog.put(event)
        kept.setdefault(connection, []).append(sent)
        last[connection, event.event] = sent
        sent += 1
        assert len(backlog) <= limit + 8 + 9
    got += drain(backlog)
    events = [number for number in got if number >= 0]
    assert lost == -sum(number for number in got if number < 0)
    assert len(events) + lost == sent
    for numbers in kept.values():  # the order of each connection
        mine = [number for number in events if number in numbers]
        assert mine == sorted(mine)
    for (_, kind), number in last.items():
        if kind == "state_change":
            assert number in events  # the latest state of each connection always comes
    assert (len(backlog), bool(backlog), backlog.pop()) == (0, False, None)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=200), st.integers(1, 5))
def test_coalesce_keeps_the_newest_of_each_connection_and_kind(connections, limit):
    backlog = Backlog(limit, 8, "coalesce")
    last: dict[str, int] = {}
    for number, connection in enumerate(connections):
        backlog.put(make(number, critical=False, connection=connection))
        last[connection] = number
        assert len(backlog) <= limit + 4
    found = drain(backlog)
    assert set(last.values()) <= set(found)


def test_one_gap_stands_for_all_that_were_lost_next_to_each_other():
    backlog = Backlog(2, 8, "drop_newest")
    for number in range(5):
        backlog.put(make(number, critical=False))
    backlog.pop()
    backlog.put(make(5, critical=False))
    backlog.put(make(6, critical=False))
    backlog.put(make(7, critical=False))
    assert drain(backlog) == [1, -3, 5, -2]


def test_critical_events_between_lost_ones_stay_and_come_after_the_gap():
    backlog = Backlog(1, 8, "drop_oldest")
    for number in range(6):
        backlog.put(make(number, critical=number % 2 == 1))
    assert drain(backlog) == [-2, 1, 3, 4, 5]


def test_a_transition_is_kept_with_both_of_its_events():
    backlog = Backlog(1, 1, "drop_oldest")
    backlog.put(make(0, critical=True))
    for number in range(1, 7, 2):
        data: dict[str, Any] = {"of": number}
        for place in (number, number + 1):
            event = make(place, critical=True)
            object.__setattr__(event, "data", data)
            backlog.put(event)
    assert drain(backlog) == [0, -4, 5, 6]


def test_a_long_flood_costs_no_memory():
    backlog = Backlog(10, 10, "coalesce")
    for number in range(5_000):
        backlog.put(make(number, critical=False, connection=str(number % 3)))
    assert backlog.over is not None
    assert len(backlog.over.minor) <= 60
    assert len(backlog) <= 13
