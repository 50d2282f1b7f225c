"""What holds the loop is named while it does; and the loop's lag. Real time, but little of it."""

from __future__ import annotations

import logging
import threading
import time

import pytest
import trio

from brama import telemetry
from brama.actors import Actor, ActorSystem, InlineActor
from brama.actors.testing import running
from brama.telemetry import ConfigError

THRESHOLD = 0.02


@pytest.fixture
def watched():
    with ActorSystem("watched", stall_threshold=THRESHOLD) as system:
        yield system


def until(condition, patience=5.0):
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def hold_the_loop(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


class Hog(InlineActor):
    def on_receive(self, message):
        hold_the_loop(message.seconds)


class AsyncHog(Actor):
    async def on_receive(self, message):
        await trio.lowlevel.checkpoint()
        time.sleep(message.seconds)


class Work:
    def __init__(self, seconds):
        self.seconds = seconds


@pytest.mark.requirement("actors:telemetry")
@pytest.mark.parametrize("cls", [Hog, AsyncHog])
def test_a_hook_that_holds_the_loop_is_named_with_its_message_and_stack(watched, cls, caplog):
    ref = watched.spawn(cls)
    while not watched.stalls:
        ref.ask(Work(0.3), timeout=5)
    stall = watched.stalls[0]
    assert (stall.actor_class, stall.hook) == (cls.__qualname__, "on_receive")
    assert stall.actor == str(ref)
    assert stall.message_type == "Work"
    assert THRESHOLD <= stall.duration < 0.4
    assert any("hold_the_loop" in line or "time.sleep" in line for line in stall.stack)
    until(lambda: "held up" in caplog.text)
    assert f"on_receive (Work) of {ref}" in caplog.text


def test_a_request_and_an_on_start_are_recognised(watched):
    class SlowStart(InlineActor):
        def on_start(self):
            hold_the_loop(0.1)

    def caught():
        return {(stall.hook, stall.message_type) for stall in watched.stalls}

    # On a busy machine the watch itself may come too late to see one.
    while ("on_start", None) not in caught():
        watched.spawn(SlowStart).stop(timeout=5)
    while ("on_receive", "Work") not in caught():
        watched.spawn(Hog).ask(Work(0.1), timeout=5)


def test_a_task_that_is_no_actors_is_named_by_its_own_name():
    async def guest():
        await trio.sleep(0.01)
        time.sleep(0.15)

    async def main():
        async with running(ActorSystem("guest", stall_threshold=THRESHOLD)) as system:
            while not system.stalls:
                await guest()
            return system.stalls

    stall, *_ = trio.run(main)
    assert stall.actor_class is None
    assert stall.task is not None
    assert any("guest" in line for line in stall.stack)


@pytest.mark.requirement("actors:telemetry")
def test_stalls_are_announced_on_the_hook_bus(watched):
    heard = []
    telemetry.attach("test", "brama.actor.stall", lambda *occurrence: heard.append(occurrence))
    try:
        ref = watched.spawn(Hog)
        while not heard:
            ref.ask(Work(0.1), timeout=5)
    finally:
        telemetry.detach("test")
    event, measurements, metadata, _ = heard[0]
    assert measurements["duration"] >= THRESHOLD
    assert metadata["actor_class"] == "Hog"
    assert metadata["message_type"] == "Work"
    hook = next(each for each in telemetry.hook_names.HOOKS if each.name == event)
    assert set(hook.metadata) == set(metadata)
    assert set(hook.measurements) == set(measurements)


def test_one_line_is_logged_and_every_stall_is_kept(watched, caplog):
    ref = watched.spawn(Hog)
    with caplog.at_level(logging.WARNING, "brama.actors"):
        while len(watched.stalls) < 3:
            ref.ask(Work(0.1), timeout=5)
    assert len([text for text in caplog.messages if "held up" in text]) == 1


@pytest.mark.parametrize("cls", [Hog, AsyncHog])
def test_many_short_hooks_are_no_stall(cls):
    with ActorSystem("busy", stall_threshold=0.5) as system:
        ref = system.spawn(cls)
        for _ in range(600):
            ref.tell(Work(0.001))
        ref.ask(Work(0), timeout=5)
        assert system.stalls == ()


def test_the_watch_can_be_left_out():
    before = threading.active_count()
    with ActorSystem("unwatched", stall_threshold=None) as system:
        assert threading.active_count() == before + 1
        system.spawn(Hog).ask(Work(0.08), timeout=5)
        assert system.stalls == ()
        assert system.lag().worst >= 0.08


def test_no_thread_of_the_watch_is_left_after_the_stop():
    before = threading.active_count()
    for _ in range(3):
        with ActorSystem("brief"):
            pass
    assert threading.active_count() == before


def test_an_idle_loop_lets_the_watch_sleep_and_wakes_it(watched):
    ref = watched.spawn(Hog)
    watch = watched.scheduler.watch
    until(lambda: watch._parked)
    while not watched.stalls:
        ref.ask(Work(0.15), timeout=5)
    assert watched.stalls[0].actor_class == "Hog"


@pytest.mark.requirement("actors:telemetry")
def test_the_lag_is_known_now_recently_and_at_worst(watched):
    ref = watched.spawn(Hog)
    for _ in range(20):
        ref.ask(Work(0.0005), timeout=5)
    ref.ask(Work(0.06), timeout=5)
    lag = watched.lag()
    assert lag.worst >= 0.06
    assert 0 < lag.p50 <= lag.p99 <= lag.worst
    ref.tell(Work(0.2))
    until(lambda: watched.lag().now >= 0.1)  # also while it lasts


@pytest.mark.parametrize("threshold", [0, -1, "fast"])
def test_a_threshold_must_be_a_positive_duration(threshold):
    with pytest.raises(ConfigError, match="stall_threshold"):
        ActorSystem("x", stall_threshold=threshold)
