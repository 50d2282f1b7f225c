"""What the collector or a signal runs in the middle of a count: it waits for nobody, and counts."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from brama.telemetry import flags, metrics, names, pool
from brama.telemetry.faults import errors, swallow
from brama.telemetry.health import ExportHealth
from brama.telemetry.histograms import UNSORTED, Histogram
from brama.telemetry.metric_names import LAG
from brama.telemetry.throttle import Throttle
from brama.telemetry.ticks import Ticks
from brama.telemetry.turns import Turn

WITHIN = 10.0


def interrupted(outer: Callable[[], object], inner: Callable[[], object]) -> int:
    """Run `outer`, and `inner` once before each of its steps in Brama's code; how many there were.

    That is what a finalizer or a handler of a signal may do. In a thread, so that one who waits for
    himself fails this test and not the run.
    """
    steps: set[tuple[object, int]] = set()
    failed: list[BaseException] = []

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if "telemetry" not in frame.f_code.co_filename or "tests" in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        step = (frame.f_code, frame.f_lasti)
        if event == "opcode" and step not in steps:
            steps.add(step)
            inner()
        return trace

    def run() -> None:
        sys.settrace(trace)
        try:
            outer()
        except BaseException as error:
            failed.append(error)
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(WITHIN)
    assert not thread.is_alive(), "it waits for itself"
    if failed:
        raise failed[0]
    assert steps
    return len(steps)


def test_counting_in_the_middle_of_counting_is_exact() -> None:
    counts = metrics.Counts(names.PUBLISHED)
    for outer in (
        lambda: counts.add("a"),
        lambda: counts.add("b", count=1000),
        lambda: counts.ticks("c"),
        counts.snapshot,
    ):
        before = counts.snapshot().get(("inner",), 0)
        steps = interrupted(outer, lambda: counts.add("inner"))
        assert counts.snapshot()[("inner",)] == before + steps
    assert counts.snapshot()[("a",)] == 1
    assert counts.snapshot()[("b",)] == 1000


def test_a_finalizer_that_counts_while_the_counts_are_read_is_counted() -> None:
    counts = metrics.Counts(names.PUBLISHED)
    for number in range(100):
        counts.add(str(number))

    class Guarded:
        def __init__(self) -> None:
            self.itself = self  # so that only the collector finds it

        def __del__(self) -> None:
            counts.add("finalized")

    def read() -> None:
        threshold = gc.get_threshold()
        try:
            for number in range(50):
                gc.disable()
                Guarded()
                gc.set_threshold(1 + number % 10)  # at the first thing that is made, the second, …
                gc.enable()
                counts.snapshot()
        finally:
            gc.set_threshold(*threshold)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(WITHIN)
    assert not thread.is_alive(), "it waits for itself"
    gc.collect()
    assert counts.snapshot()[("finalized",)] == 50


def test_a_time_that_is_recorded_while_others_are_sorted_is_sorted_later() -> None:
    times = Histogram(LAG, (0.1, 1.0))
    for _ in range(UNSORTED - 1):
        times.record(0.05, "a")
    steps = interrupted(lambda: times.record(0.5, "a"), lambda: times.record(2.0, "b"))
    steps += interrupted(times.snapshot, lambda: times.record(2.0, "b"))
    found = times.snapshot()
    assert found[("a",)].counts == [UNSORTED - 1, 1, 0]
    assert found[("b",)].counts == [0, 0, steps]


def test_times_that_nobody_looks_at_do_not_pile_up() -> None:
    times = Histogram(LAG, (0.1, 1.0))
    for _ in range(10 * UNSORTED):
        times.record(0.05, "a")
    assert len(times._new) < UNSORTED


def test_a_look_at_times_in_the_middle_of_a_look_finds_its_way_out() -> None:
    times = Histogram(LAG, (0.1, 1.0))
    times.record(0.05, "a")
    interrupted(times.snapshot, times.snapshot)
    assert times.snapshot()[("a",)].count == 1


def test_systems_may_come_and_go_while_their_figures_are_read() -> None:
    sources = metrics._Sources()

    class Figures:
        def calls(self) -> dict[tuple[str, ...], float]:
            return {("search", "success"): 1.0}

    made = 0

    def come_and_go() -> None:
        nonlocal made
        one = Figures()
        sources.add(names.METRICS[0], one.calls)
        for source in sources._readings[names.METRICS[0].name].copy():
            if source.read() is not None:
                source.last = one.calls()
        made += 1

    come_and_go()
    interrupted(lambda: sources.read(names.METRICS[0]), come_and_go)
    interrupted(lambda: sources.read(names.METRICS[0]), lambda: sources.read(names.METRICS[0]))
    assert sources.read(names.METRICS[0]) == {("search", "success"): float(made)}


def test_a_provider_is_registered_once_whoever_asks_in_between() -> None:
    class Provider:
        """Weakly referenced, as those of an SDK are."""

    registered = metrics._Registered()
    provider: Any = Provider()
    new: list[bool] = []
    begun: list[bool] = []
    interrupted(
        lambda: new.append(registered.add(provider)),
        lambda: new.append(registered.add(provider)),
    )
    interrupted(
        lambda: begun.append(registered.begin_early()),
        lambda: begun.append(registered.begin_early()),
    )
    assert sorted(new)[-2:] == [False, True]
    assert sorted(begun)[-2:] == [False, True]
    assert registered.early


def test_faults_throttles_pools_and_exports_may_be_met_in_the_middle_of_themselves() -> None:
    throttle = Throttle(60.0)
    health = ExportHealth("spans", "nowhere", throttle)
    for what in (
        lambda: swallow("testing", LookupError()),
        errors,
        throttle.admit,
        lambda: pool("a new name"),
        lambda: health.lost(1),
        health.delivered,
    ):
        interrupted(what, what)


def test_whoever_begins_to_follow_in_between_is_told_as_well() -> None:
    class Follower:
        told = 0

        def change(self) -> None:
            self.told += 1

    first, others = Follower(), [Follower()]

    def follow() -> None:
        others.append(Follower())
        flags.follow(others[-1].change)

    interrupted(lambda: flags.follow(first.change), follow)
    before = [one.told for one in others]
    flags.refresh()
    assert first.told == 2
    assert [one.told for one in others][1:] == [told + 1 for told in before][1:]
    others.clear()
    gc.collect()
    flags.follow(first.change)
    assert all(ref() is not None for ref in flags._followers.values())


def test_a_turn_is_taken_once_by_a_thread_and_waited_for_by_others() -> None:
    turn = Turn()
    entered = threading.Event()

    def wait() -> None:
        with turn as mine:
            assert mine
            entered.set()

    with turn as mine:
        assert mine
        assert not turn.enter_at_once()
        with turn as again:
            assert not again
        other = threading.Thread(target=wait)
        other.start()
        assert not entered.wait(0.05)
    other.join(WITHIN)
    assert entered.is_set()
    assert turn.enter_at_once()
    turn.leave()


@pytest.mark.parametrize("number", [0, 1, 2, 1000])
def test_ticks_count_many_at_once(number: int) -> None:
    ticks = Ticks()
    ticks.add(number)
    assert ticks.value == number


def test_a_shutdown_in_the_middle_of_a_shutdown_leaves_it_to_that() -> None:
    from brama.telemetry.handle import Telemetry

    handles: list[weakref.ref[Telemetry]] = []
    inner: list[bool] = []

    def release() -> None:  # what a handler of SIGTERM does while the program ends by itself
        handle = handles[0]()
        assert handle is not None
        inner.append(handle.shutdown())

    handle = Telemetry((), release=release)
    handles.append(weakref.ref(handle))
    assert handle.shutdown()
    assert inner == [False]
