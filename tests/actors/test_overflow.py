"""Bounded queues and their policies, alone: no lock, no clock, no actor."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brama.actors import MailboxPolicy
from brama.actors.overflow import BoundedQueue, Offer
from brama.telemetry import ConfigError


def contents(queue):
    return [queue.pop() for _ in range(len(queue))]


def filled(overflow, limit=3, items=5):
    queue = BoundedQueue(limit, overflow)
    offers = [queue.offer(item) for item in range(items)]
    return queue, offers


@pytest.mark.parametrize("overflow", ["block", "drop_newest"])
def test_a_full_queue_refuses_what_comes(overflow):
    queue, offers = filled(overflow)
    assert offers[3:] == [(Offer.REFUSED, 3), (Offer.REFUSED, 4)]
    assert contents(queue) == [0, 1, 2]


def test_drop_oldest_gives_up_what_has_waited_longest():
    queue, offers = filled("drop_oldest")
    assert offers[3:] == [(Offer.EVICTED, 0), (Offer.EVICTED, 1)]
    assert contents(queue) == [2, 3, 4]


def test_coalesce_replaces_in_place_and_gives_up_the_oldest_for_a_new_key():
    queue = BoundedQueue(2, "coalesce")
    assert queue.offer("a1", "a") == (Offer.QUEUED, None)
    assert queue.offer("b1", "b") == (Offer.QUEUED, None)
    assert queue.offer("a2", "a") == (Offer.COALESCED, "a1")
    assert queue.offer("c1", "c") == (Offer.EVICTED, "a2")
    assert queue.offer("a3", "a") == (Offer.EVICTED, "b1")
    assert contents(queue) == ["c1", "a3"]


def test_a_message_that_was_taken_is_not_replaced_any_more():
    queue = BoundedQueue(2, "coalesce")
    queue.offer("a1", "a")
    assert queue.pop() == "a1"
    assert queue.offer("a2", "a") == (Offer.QUEUED, None)


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest", "coalesce"])
def test_what_is_forced_in_neither_counts_nor_goes(overflow):
    queue = BoundedQueue(1, overflow)
    queue.force("stop")
    queue.offer(1)
    queue.force("down")
    queue.offer(2)
    assert contents(queue) == (
        ["stop", 1, "down"] if overflow == "drop_newest" else ["stop", "down", 2]
    )


@given(
    st.sampled_from(["block", "drop_newest", "drop_oldest", "coalesce"]),
    st.integers(1, 5),
    st.lists(st.one_of(st.integers(0, 7), st.sampled_from(["pop", "force"]))),
)
def test_every_item_is_queued_taken_or_handed_back(overflow, limit, steps):
    queue = BoundedQueue(limit, overflow)
    sent, out, forced = 0, [], 0
    for number, step in enumerate(steps):
        if step == "pop":
            if len(queue):
                out.append(queue.pop())
        elif step == "force":
            queue.force(number)
            sent, forced = sent + 1, forced + 1
        else:
            key = step if overflow == "coalesce" and step else None
            _, victim = queue.offer(number, key)
            sent += 1
            if victim is not None:
                out.append(victim)
        assert len(queue) <= limit + forced
    left = queue.drain()
    assert sorted(out + left) == sorted(set(out + left))
    assert len(out) + len(left) == sent
    assert len(queue) == 0


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "3"])
def test_a_limit_must_be_a_positive_number_or_none(limit):
    with pytest.raises(ConfigError, match="limit must be a number of messages"):
        MailboxPolicy(limit)


def test_an_unknown_overflow_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"overflow must be one of block, .*Did you mean"):
        MailboxPolicy(3, "drop_new")


def test_coalesce_needs_a_key_and_nothing_else_takes_one():
    with pytest.raises(ConfigError, match="key must be a function"):
        MailboxPolicy(3, "coalesce")
    with pytest.raises(ConfigError, match="key must be None unless"):
        MailboxPolicy(3, "block", key=len)


def test_a_timeout_is_seconds_or_a_timedelta_and_not_negative():
    assert MailboxPolicy(3, "block", timeout=timedelta(minutes=1)).timeout == 60.0
    assert MailboxPolicy(3, "block", timeout=None).timeout is None
    with pytest.raises(ConfigError, match="timeout"):
        MailboxPolicy(3, "block", timeout=-1)
