"""The queue of one subscription and its promises, without actors or threads of its own."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime

import attrs
import pytest

from brama.circuits import Event, Severity
from brama.notifier import Options, Subscription, inbox
from brama.notifier.subscription import Surroundings
from brama.notifier.target import Target

requirement = pytest.mark.requirement


def event(number: int, *, critical: bool = True) -> Event:
    return Event(
        event="state_change" if critical else "failure",
        connection="search",
        scope=None,
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        monotonic=0.0,
        epoch=1,
        seq=number if critical else None,
        event_id=f"id-{number}",
        severity=Severity.INFO,
        data={},
    )


class Bells:
    def __init__(self) -> None:
        self.rung = 0

    def tell(self, _message: object) -> None:
        self.rung += 1


@pytest.fixture
def make():
    def make(**options) -> Subscription:
        made = Subscription(1, Target(print, print, "h"), Options(**options))
        made.deliverer = Bells()
        return made

    return make


def drain(subscription: Subscription) -> list[Event]:
    found = []
    one = subscription.take()
    while one is not None:
        found.append(one)
        one = subscription.next()
    return found


@requirement("SB-11")
def test_events_come_in_order_and_are_numbered_without_a_gap(make):
    subscription = make()
    for number in range(5):
        subscription.offer(event(number))
    found = drain(subscription)
    assert [one.event_id for one in found] == [f"id-{n}" for n in range(5)]
    assert [one.n for one in found] == [1, 2, 3, 4, 5]
    assert (subscription.delivered, subscription.queued) == (5, 0)


def test_one_bell_rings_for_many_events_and_again_after_the_queue_was_empty(make):
    subscription = make()
    for number in range(3):
        subscription.offer(event(number))
    assert subscription.deliverer.rung == 1
    drain(subscription)
    subscription.offer(event(4))
    assert subscription.deliverer.rung == 2


@requirement("SB-10")
def test_a_critical_event_comes_again_with_its_number_until_it_is_a_dead_letter(make, caplog):
    subscription = make(max_redeliveries=2)
    subscription.offer(event(1))
    subscription.offer(event(2))
    seen = []
    for _ in range(3):
        seen.append(subscription.take())
        subscription.failed(ValueError("boom"))
    assert [(one.event_id, one.n, one.redelivered) for one in seen] == [
        ("id-1", 1, False),
        ("id-1", 1, True),
        ("id-1", 1, True),
    ]
    letters = [record for record in caplog.records if "dead letter" in record.message]
    assert len(letters) == 1
    assert letters[0].levelno == logging.ERROR
    assert "ValueError" in str(letters[0].exc_info)
    after = subscription.take()
    assert (after.event_id, after.n, after.redelivered) == ("id-2", 2, False)
    assert (subscription.failures, subscription.dropped) == (3, 1)


@requirement("SB-10")
def test_without_redeliveries_a_critical_event_is_given_up_at_its_first_failure(make):
    subscription = make(max_redeliveries=0)
    subscription.offer(event(1))
    subscription.take()
    subscription.failed(ValueError())
    assert subscription.take() is None


def test_an_event_that_is_not_critical_is_delivered_at_most_once(make):
    subscription = make()
    subscription.offer(event(1, critical=False))
    assert subscription.take() is not None
    subscription.failed(ValueError())
    assert subscription.take() is None
    subscription.offer(event(2, critical=False))
    subscription.take()
    subscription.pause()
    assert subscription.take() is None


@requirement("SB-10")
def test_a_deliverer_that_is_killed_again_and_again_loses_no_critical_event(make):
    subscription = make(max_redeliveries=1)
    subscription.offer(event(1))
    first = subscription.take()
    for _ in range(20):
        subscription.pause()
        again = subscription.take()
        assert (again.event_id, again.n, again.redelivered) == ("id-1", first.n, True)
    assert subscription.next() is None
    assert (subscription.delivered, subscription.dropped) == (1, 0)


def test_finish_gives_the_turn_away_and_tells_whether_there_is_more(make):
    subscription = make()
    subscription.offer(event(1))
    subscription.offer(event(2))
    subscription.take()
    assert subscription.finish() is True
    assert subscription.take().event_id == "id-2"
    assert subscription.finish() is False
    subscription.offer(event(3))
    assert subscription.deliverer.rung == 2


def test_a_filter_takes_out_what_it_refuses_and_numbers_stay_gapless(make):
    subscription = make(filter=lambda one: one.seq % 2)
    for number in range(6):
        subscription.offer(event(number))
    found = drain(subscription)
    assert [(one.seq, one.n) for one in found] == [(1, 1), (3, 2), (5, 3)]


def test_a_filter_that_raises_does_not_match_and_is_reported_once(make, caplog):
    def broken(one: Event) -> bool:
        raise RuntimeError("broken filter")

    subscription = make(filter=broken)
    for number in range(9):
        subscription.offer(event(number))
    assert drain(subscription) == []
    assert sum("filter of subscription" in record.message for record in caplog.records) == 1


def test_the_filter_is_asked_once_and_not_again_for_a_redelivery(make):
    asked = []
    subscription = make(filter=lambda one: asked.append(one) or True)
    subscription.offer(event(1))
    subscription.take()
    subscription.failed(ValueError())
    assert subscription.take().redelivered
    assert len(asked) == 1


@requirement("SB-06", "BR-17")
def test_a_close_while_the_filter_looks_keeps_the_handler_from_starting(make):
    subscription = make(filter=lambda _one: subscription.close() or True)
    subscription.offer(event(1))
    assert subscription.take() is None
    assert subscription.closed


@requirement("SB-06")
def test_after_a_close_nothing_is_taken_and_nothing_is_queued(make):
    subscription = make()
    subscription.offer(event(1))
    assert subscription.close() is True
    assert subscription.take() is None
    assert subscription.offer(event(2)) is False
    assert (subscription.queued, subscription.state) == (0, "closed")
    assert subscription.close() is True


def test_close_waits_for_the_invocation_that_is_running(make):
    subscription = make()
    subscription.offer(event(1))
    subscription.take()
    answers = []
    closing = threading.Thread(target=lambda: answers.append(subscription.close(wait=10)))
    closing.start()
    waits = threading.Event()
    while not subscription._waiting:
        waits.wait(0.001)
    assert answers == []
    assert subscription.next() is None
    closing.join(10)
    assert answers == [True]


def test_close_gives_up_after_its_time_and_says_so(make):
    subscription = make()
    subscription.offer(event(1))
    taking = threading.Thread(target=subscription.take)
    taking.start()
    taking.join()
    assert subscription.close(wait=0.01) is False


@pytest.mark.parametrize("wait", [True, 5.0])
def test_a_close_from_the_handler_itself_does_not_wait_for_itself(make, wait):
    subscription = make()
    subscription.offer(event(1))
    subscription.take()
    assert subscription.close(wait=wait) is False
    assert subscription._waiting == []


def numbers(found: list[Event]) -> list[object]:
    """The events by their numbers, gaps by what they say."""
    return [
        f"gap of {one.data['lost']}" if one.event == "gap" else int(one.event_id.split("-")[1])
        for one in found
    ]


@requirement("DT-08")
@pytest.mark.parametrize(
    ("overflow", "left"),
    [("drop_oldest", ["gap of 2", 2, 3, 4]), ("drop_newest", [0, 1, 2, "gap of 2"])],
)
def test_what_is_not_critical_is_dropped_beyond_the_backlog_and_told_of(
    make, caplog, overflow, left
):
    subscription = make(backlog=3, overflow=overflow)
    for number in range(5):
        subscription.offer(event(number, critical=False))
    assert subscription.dropped == 2
    assert sum("does not keep up" in record.message for record in caplog.records) == 1
    found = drain(subscription)
    assert numbers(found) == left
    assert [one.n for one in found] == [1, 2, 3, 4]
    assert subscription.status().dropped == 2


def test_a_gap_is_shown_to_no_filter_and_is_delivered_at_most_once(make):
    subscription = make(backlog=1, filter=lambda one: one.event == "failure")
    for number in range(3):
        subscription.offer(event(number, critical=False))
    gap = subscription.take()
    assert (gap.event, gap.data["lost"], gap.critical) == ("gap", 2, False)
    subscription.failed(ValueError())
    assert numbers(drain(subscription)) == [2]


def test_no_filter_is_asked_about_what_the_log_of_a_circuit_has_lost(make):
    subscription = make(filter=lambda _one: False)
    subscription.offer(attrs.evolve(event(1, critical=False), event="gap", data={"lost": 3}))
    subscription.offer(event(2))
    assert [one.event for one in drain(subscription)] == ["gap"]


@requirement("SB-10")
def test_a_thread_that_a_former_deliverer_has_sent_begins_nothing(make):
    subscription = make()
    former = subscription.deliverer
    subscription.offer(event(1))
    subscription.take()
    assert subscription.begin(former) is True
    subscription.deliverer = Bells()
    assert subscription.begin(former) is False
    assert subscription.begin(subscription.deliverer) is True


def test_disconnect_ends_it_when_its_backlog_is_full(make, caplog):
    subscription = make(backlog=2, overflow="disconnect")
    taken = [subscription.offer(event(n, critical=False)) for n in range(4)]
    assert taken == [True, True, False, False]
    assert subscription.state == "disconnected"
    assert "is disconnected" in caplog.text
    assert drain(subscription) == []


@requirement("DT-08")
def test_beyond_the_critical_backlog_the_latest_state_of_each_connection_is_kept(monkeypatch, make):
    monkeypatch.setattr(inbox, "CRITICAL_BACKLOG", 4)
    told = []
    subscription = make()
    subscription._around = Surroundings(
        on_overwhelmed=lambda one, whether: told.append((one.id, whether))
    )
    subscription._backlog = inbox.Backlog(10, 4, "drop_oldest")
    for number in range(9):
        subscription.offer(attrs.evolve(event(number), connection="ab"[number % 2]))
    subscription.offer(event(9, critical=False))
    assert told == [(1, True)]
    assert subscription.queued == 6
    # 4 … 6 and the failure are missing; 7 and 8 are the latest of each connection.
    found = drain(subscription)
    assert numbers(found) == [0, 1, 2, 3, "gap of 4", 8, 7]
    assert told == [(1, True), (1, False)]
    subscription.offer(event(10))
    assert numbers(drain(subscription)) == [10]
    assert subscription.dropped == 4


def test_a_broken_deliverer_does_not_keep_the_event_from_the_queue(make):
    subscription = make()
    subscription.deliverer = None
    assert subscription.offer(event(1)) is True
    assert subscription.queued == 1


def test_quarantine_ends_it_and_counts_what_waited(make, caplog):
    subscription = make()
    for number in range(3):
        subscription.offer(event(number))
    subscription.quarantine()
    assert subscription.state == "quarantined"
    assert "3 events that waited" in caplog.text
