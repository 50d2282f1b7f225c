"""Starts, stops and crashes on the hook bus."""

from __future__ import annotations

import pytest
import trio

from brama import telemetry
from brama.actors import Actor, ActorDeadError, BlockingActor, InlineActor, Shutdown, kill
from brama.actors.testing import settle

KINDS = {"inline": InlineActor, "async": Actor, "blocking": BlockingActor}


@pytest.fixture
def heard():
    got = []

    def listen(event, measurements, metadata, _config):
        if metadata["actor_class"].startswith("Seen"):
            got.append((event.removeprefix("brama.actor."), measurements, metadata))

    events = ["brama.actor.start", "brama.actor.stop", "brama.actor.crash"]
    telemetry.attach("test", events, listen)
    yield got
    telemetry.detach("test")


def seen(kind, *, with_start=True):
    async def handle_async(self, message):
        if isinstance(message, Exception):
            raise message
        self.exit(message)

    def handle(self, message):
        if isinstance(message, Exception):
            raise message
        self.exit(message)

    async def start_async(self):
        pass

    members = {"on_receive": handle_async if kind == "async" else handle}
    if with_start:
        members["on_start"] = start_async if kind == "async" else lambda self: None
    return type("Seen", (KINDS[kind],), members)


@pytest.mark.requirement("actors:telemetry")
@pytest.mark.parametrize("with_start", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_starts_stops_and_crashes_are_announced_once_each(system, heard, kind, with_start):
    cls = seen(kind, with_start=with_start)
    orderly = system.spawn(cls, name="orderly")
    await orderly.stop(block=False)
    crashing = system.spawn(cls)
    crashing.tell(ValueError("boom"))
    with pytest.raises(ActorDeadError):
        await crashing.ask(Shutdown("enough"), block=False)
    with trio.fail_after(5):
        while crashing.actor_inbox.state != "dead":  # a blocking one ends on its own thread
            await trio.sleep(0.001)
    assert [event for event, *_ in heard] == ["start", "stop", "start", "crash"]
    names = {each.name.removeprefix("brama.actor."): each for each in telemetry.hook_names.HOOKS}
    for event, measurements, metadata in heard:
        assert set(measurements) == set(names[event].measurements)
        assert set(metadata) == set(names[event].metadata)
        assert measurements["duration"] >= 0
    start, stop, _, crash = (metadata for _, _, metadata in heard)
    assert (start["name"], start["actor"], start["system"]) == ("orderly", str(orderly), "test")
    assert (stop["name"], stop["reason"]) == ("orderly", "Normal()")
    assert crash["error_type"] == "ValueError"
    assert "boom" in crash["reason"]


@pytest.mark.requirement("actors:telemetry")
async def test_a_kill_is_announced_as_a_stop_with_its_reason(system, heard):
    ref = system.spawn(seen("inline"))
    kill(ref)
    assert heard[-1][0] == "stop"
    assert heard[-1][2]["reason"].startswith("Killed")


async def test_a_failed_start_is_a_crash_without_a_start(system, heard):
    class SeenBroken(InlineActor):
        def on_start(self):
            raise ValueError("no")

    system.spawn(SeenBroken)
    await settle(system)
    assert [event for event, *_ in heard] == ["crash"]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
async def test_a_listener_that_raises_harms_no_ending(system, error):
    def listen(*_occurrence):
        raise error

    telemetry.attach("bad", "brama.actor.*", listen)
    try:
        ref = system.spawn(seen("inline"))
        assert await ref.stop(block=False) is True
    finally:
        telemetry.detach("bad")
    assert not ref.is_alive()
