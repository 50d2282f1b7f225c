"""The numbered changes, and what becomes of them while circuits are quicker than whoever looks."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from brama.circuits.feed import LIMIT, MOVED, Entry, Feed, Tray
from brama.circuits.state import State


def change(number: int) -> Entry:
    return (MOVED, (None, f"c{number}"), State.CLOSED, State.OPEN, None, float(number))


class Busy(deque[Entry]):
    """A tray's entries, to which something happens whenever one is taken out."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def popleft(self) -> Entry:
        found = super().popleft()
        self.meanwhile()
        return found


def busy(limit: int = LIMIT) -> tuple[Tray, Busy]:
    tray = Tray(limit)
    entries = Busy(maxlen=limit + 1)
    tray.entries = entries
    tray.leave = entries.append
    return tray, entries


def told(feed: Feed, since: int) -> tuple[int, list[float] | None]:
    version, found = feed.since(since)
    return version, None if found is None else [entry[5] for _, entry in found]


def test_changes_are_numbered_without_gap() -> None:
    tray = Tray()
    feed = Feed(lambda: tray)
    before, _ = feed.look()
    for number in range(3):
        tray.leave(change(number))
    version, found = feed.since(before)
    assert version == before + 3
    assert found is not None
    assert [number for number, _ in found] == [before + 1, before + 2, before + 3]


def test_a_look_ends_though_changes_come_faster_than_they_are_taken_and_none_is_missed() -> None:
    tray, entries = busy()
    feed = Feed(lambda: tray)
    version, _ = feed.look()
    numbers = count()

    def two_more() -> None:
        for _ in range(2):
            tray.leave(change(next(numbers)))

    tray.leave(change(next(numbers)))
    entries.meanwhile = two_more
    seen: list[float] = []
    for _ in range(5):
        version, some = told(feed, version)
        assert some is not None
        seen += some
    entries.meanwhile = lambda: None
    _, some = told(feed, version)
    assert some is not None
    assert seen + some == list(range(next(numbers)))


@pytest.mark.parametrize("taken_first", range(1, 6))
@pytest.mark.parametrize("meanwhile", range(1, 14))
def test_what_is_lost_while_the_tray_is_emptied_is_found_out(
    taken_first: int, meanwhile: int
) -> None:
    """However many come at whatever moment: all are told, or it is said that some were lost."""
    tray, entries = busy(limit=5)
    feed = Feed(lambda: tray)
    before, _ = feed.look()
    for number in range(4):
        tray.leave(change(number))
    taken = 0

    def all_at_once() -> None:
        nonlocal taken
        taken += 1
        if taken == taken_first:
            for number in range(4, 4 + meanwhile):
                tray.leave(change(number))

    entries.meanwhile = all_at_once
    version, first = told(feed, before)
    assert first == [0, 1, 2, 3]
    _, second = told(feed, version)
    if second is not None:
        assert second == list(range(4, 4 + meanwhile))
    else:
        assert meanwhile >= 5
    entries.meanwhile = lambda: None
    version, _ = feed.look()
    tray.leave(change(99))
    assert told(feed, version)[1] == [99]


def test_changes_of_many_threads_are_told_or_said_to_be_lost() -> None:
    tray = Tray(limit=64)
    feed = Feed(lambda: tray)
    version, _ = feed.look()

    def leave() -> None:
        for number in range(3000):
            tray.leave(change(number))

    threads = [threading.Thread(target=leave) for _ in range(3)]
    for thread in threads:
        thread.start()
    seen = 0
    lost = False
    while any(thread.is_alive() for thread in threads):
        version, some = told(feed, version)
        lost = lost or some is None
        seen += len(some or ())
    version, some = told(feed, version)
    lost = lost or some is None
    seen += len(some or ())
    assert lost or seen == 9000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_in_the_middle_of_a_look_leaves_both_processes_a_feed() -> None:
    trays = [Tray()]
    feed = Feed(lambda: trays[0])
    before, members = feed.look()
    trays[0], entries = busy()
    entries.append(None)  # type: ignore[arg-type] # the mark of the look before
    for number in range(10):
        trays[0].leave(change(number))
    inside, go_on = threading.Event(), threading.Event()

    def wait_half_way() -> None:
        if len(entries) == 5:
            inside.set()
            assert go_on.wait(60)

    entries.meanwhile = wait_half_way
    answers: list[Any] = []
    looker = threading.Thread(target=lambda: answers.append(told(feed, before)))
    looker.start()
    assert inside.wait(60)
    child = os.fork()
    if not child:
        code = 1
        try:
            trays[0] = Tray()  # as `Shared.renew` does
            feed.after_fork()
            version, came = feed.look()
            fresh = version > before + 10 and came != members and not feed.last(20)
            if fresh and told(feed, before)[1] is None:
                trays[0].leave(change(7))
                code = 0 if told(feed, version) == (version + 1, [7.0]) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    go_on.set()
    looker.join(60)
    assert answers == [(before + 10, [float(number) for number in range(10)])]
