"""The three kinds of actors: what they share, and what tells them apart."""

from __future__ import annotations

import logging
import threading
import time

import pykka
import pytest
import trio

from brama.actors import (
    Actor,
    ActorDeadError,
    ActorSystem,
    BlockingActor,
    Crash,
    InlineActor,
    Killed,
    Normal,
    Shutdown,
    kill,
    watch,
)
from brama.actors.testing import settle


class Inline(InlineActor):
    def __init__(self, log=None):
        super().__init__()
        self.log = [] if log is None else log

    def on_start(self):
        self.log.append("start")

    def on_stop(self):
        self.log.append("stop")

    def on_failure(self, kind, value, traceback):
        self.log.append(kind.__name__)

    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        self.log.append(message)
        return message

    def double(self, number):
        return number * 2


class Async(Actor):
    def __init__(self, log=None):
        super().__init__()
        self.log = [] if log is None else log

    async def on_start(self):
        await trio.lowlevel.checkpoint()
        self.log.append("start")

    async def on_stop(self):
        await trio.lowlevel.checkpoint()
        self.log.append("stop")

    async def on_failure(self, kind, value, traceback):
        await trio.lowlevel.checkpoint()
        self.log.append(kind.__name__)

    async def on_receive(self, message):
        await trio.lowlevel.checkpoint()
        if isinstance(message, BaseException):
            raise message
        self.log.append(message)
        return message

    async def double(self, number):
        return number * 2


class Blocking(BlockingActor):
    def __init__(self, log=None):
        super().__init__()
        self.log = [] if log is None else log

    on_start = Inline.on_start
    on_stop = Inline.on_stop
    on_failure = Inline.on_failure
    on_receive = Inline.on_receive
    double = Inline.double


@pytest.fixture(params=[Inline, Async, Blocking])
def kind(request):
    return request.param


async def gone(ref):
    """The exit reason of ``ref``."""
    ended, reasons = trio.Event(), []
    token = trio.lowlevel.current_trio_token()

    def note(reason):
        reasons.append(reason)
        token.run_sync_soon(ended.set)

    watch(ref, note)
    await ended.wait()
    return reasons[0]


@pytest.mark.requirement("actors:handler-kinds")
async def test_hooks_run_in_order_and_the_reply_comes_back(system, kind):
    log = []
    ref = system.spawn(kind, log)
    ref.tell("one")
    assert await ref.ask("two", block=False) == "two"
    assert await ref.stop(block=False) is True
    assert log == ["start", "one", "two", "stop"]
    assert not ref.is_alive()


@pytest.mark.requirement("actors:handler-kinds")
async def test_a_method_is_called_through_a_proxy(system, kind):
    assert await system.spawn(kind).proxy().double(21) == 42


async def test_an_error_of_an_ask_goes_to_the_caller_and_the_actor_lives_on(system, kind):
    ref = system.spawn(kind)
    with pytest.raises(ValueError, match="mine"):
        await ref.ask(ValueError("mine"), block=False)
    assert await ref.ask("still here", block=False) == "still here"


@pytest.mark.requirement("actors:ask-error-policy")
async def test_with_the_policy_crash_an_error_of_an_ask_ends_the_actor(system, kind):
    strict = type("Strict", (kind,), {"error_policy": "crash"})
    log = []
    ref = system.spawn(strict, log)
    with pytest.raises(ValueError, match="mine"):
        await ref.ask(ValueError("mine"), block=False)
    assert not ref.is_alive()
    await trio.testing.wait_all_tasks_blocked()
    if kind is not Blocking:
        assert log == ["start", "ValueError"]


async def test_an_error_of_a_tell_is_logged_and_crashes_the_actor(system, kind, caplog):
    log = []
    ref = system.spawn(kind, log)
    ref.tell(ValueError("boom"))
    reason = await gone(ref)
    assert isinstance(reason, Crash)
    assert str(reason.error) == "boom"
    assert log == ["start", "ValueError"]
    assert f"Unhandled exception in {ref}:" in caplog.messages
    with pytest.raises(ActorDeadError, match="not found"):
        ref.tell("late")
    with pytest.raises(pykka.ActorDeadError):
        await ref.ask("late", block=False)


async def test_a_failing_on_start_ends_the_actor_without_further_hooks(system, kind, caplog):
    async def fail_async(self):
        raise ValueError("no start")

    def fail(self):
        raise ValueError("no start")

    broken = type("Broken", (kind,), {"on_start": fail_async if kind is Async else fail})
    log = []
    ref = system.spawn(broken, log)
    ref_reason = await gone(ref) if ref.is_alive() else None
    assert ref_reason is None or isinstance(ref_reason, Crash)
    assert not ref.is_alive()
    assert log == []


async def test_exit_ends_the_actor_by_itself_for_the_given_reason(system, kind):
    def leave(self, reason):
        self.exit(reason)

    leaver = type("Leaver", (kind,), {"leave": leave})
    log = []
    ref = system.spawn(leaver, log)
    ref.proxy().leave(Shutdown("enough"))
    assert await gone(ref) == Shutdown("enough")
    assert log == ["start", "stop"]


async def test_stop_ends_normally_after_what_was_queued(system, kind):
    log = []
    ref = system.spawn(kind, log)
    ref.tell("before")
    ref.stop(block=False)
    assert await gone(ref) == Normal()
    assert log == ["start", "before", "stop"]


async def test_a_killed_actor_runs_no_further_hook(system, kind):
    log = []
    ref = system.spawn(kind, log)
    await ref.ask("one", block=False)
    kill(ref)
    assert await gone(ref) != Normal()
    await settle(system)
    assert log == ["start", "one"]


async def test_a_kill_shows_its_reason(system):
    ref = system.spawn(Inline)
    reasons = []
    watch(ref, reasons.append)
    kill(ref, Killed("enough"))
    assert reasons == [Killed("enough")]


async def test_an_inline_actor_that_kills_itself_ends_after_the_present_message(system):
    class Suicidal(Inline):
        def on_receive(self, message):
            kill(self.actor_ref)
            self.log.append("last words")

    log = []
    ref = system.spawn(Suicidal, log)
    ref.tell(1)
    ref.tell(2)
    await settle(system)
    assert log == ["start", "last words"]
    assert not ref.is_alive()


@pytest.mark.requirement("actors:one-message-at-a-time")
async def test_an_async_actor_handles_one_message_at_a_time_also_across_awaits(
    system, autojump_clock
):
    class Careful(Actor):
        inside = 0
        most = 0

        async def on_receive(self, message):
            self.inside += 1
            self.most = max(self.most, self.inside)
            await trio.sleep(1)
            self.inside -= 1
            return self.most

    ref = system.spawn(Careful)
    for _ in range(5):
        ref.tell(None)
    assert await ref.ask(None, block=False) == 1


async def test_a_task_exists_only_while_there_is_mail(system):
    refs = [system.spawn(Async) for _ in range(20)]
    await settle(system)
    assert trio.lowlevel.current_statistics().tasks_living < 20
    assert all(ref.is_alive() for ref in refs)


def test_inline_and_async_actors_run_on_the_loop_and_blocking_ones_on_their_own(threaded):
    class Where:
        def thread(self):
            return threading.current_thread().name

    def of(base):
        cls = type(f"Where{base.__name__}", (Where, base), {})
        return threaded.spawn(cls).proxy().thread().get(timeout=5)

    assert of(InlineActor) == of(Actor) == "threaded-loop"
    assert of(BlockingActor).startswith("WhereBlockingActor-")


def test_a_blocking_actor_holds_up_nobody_else(threaded):
    class Sleeper(BlockingActor):
        def on_receive(self, message):
            message.wait(5)

    release = threading.Event()
    threaded.spawn(Sleeper).tell(release)
    assert threaded.spawn(Inline).ask("quick", timeout=1) == "quick"
    release.set()


@pytest.mark.requirement("actors:handler-kinds")
@pytest.mark.parametrize("hook", ["on_start", "on_receive", "on_stop", "on_failure"])
def test_a_plain_hook_on_actor_is_refused_with_the_three_kinds(hook):
    with pytest.raises(TypeError) as caught:
        type("Feed", (Actor,), {hook: lambda self, *args: None})
    text = str(caught.value)
    assert f"Feed.{hook} is a plain function" in text
    assert all(word in text for word in ("Actor (", "InlineActor (", "BlockingActor ("))


@pytest.mark.requirement("actors:handler-kinds")
@pytest.mark.parametrize("base", [InlineActor, BlockingActor])
def test_an_async_hook_on_a_plain_kind_is_refused(base):
    async def on_receive(self, message):
        pass

    with pytest.raises(TypeError, match=r"Feed\.on_receive is async"):
        type("Feed", (base,), {"on_receive": on_receive})


@pytest.mark.requirement("actors:handler-kinds")
async def test_a_coroutine_that_nobody_awaits_is_an_error_and_not_silence(system):
    class Sneaky(InlineActor):
        def on_receive(self, message):
            return self.work()

        async def work(self):
            pass

    ref = system.spawn(Sneaky)
    with pytest.raises(TypeError, match="coroutine that nobody awaits"):
        await ref.ask(1, block=False)
    ref.tell(1)
    assert isinstance(await gone(ref), Crash)


async def test_a_base_exception_in_a_supervised_or_spawned_actor_ends_only_that_actor(system):
    other = system.spawn(Inline)
    for kind in (Inline, Async):
        ref = system.spawn(kind)
        ref.tell(SystemExit(1))
        assert isinstance(await gone(ref), Crash)
    assert other.is_alive()


async def test_actors_of_a_system_stay_out_of_pykkas_registry(system):
    before = len(pykka.ActorRegistry.get_all())
    for kind in (Inline, Async, Blocking):
        system.spawn(kind)
    assert len(pykka.ActorRegistry.get_all()) == before


def test_an_actor_started_by_its_class_is_in_pykkas_registry_until_it_ends():
    ref = Inline.start()
    assert ref in pykka.ActorRegistry.get_all()
    assert ref.ask("hi", timeout=5) == "hi"
    ref.stop(timeout=5)
    assert ref not in pykka.ActorRegistry.get_all()


async def test_actor_system_is_the_system_that_hosts_it(system):
    class Curious(InlineActor):
        def on_receive(self, message):
            return self.actor_system

    assert await system.spawn(Curious).ask(1, block=False) is system


async def test_an_actor_may_write_to_itself_in_its_constructor(system):
    class Eager(InlineActor):
        def __init__(self):
            super().__init__()
            self.got = []
            self.actor_ref.tell("first")

        def on_receive(self, message):
            self.got.append(message)
            return self.got

    assert await system.spawn(Eager).ask("second", block=False) == ["first", "second"]


async def test_a_long_burst_leaves_room_for_others(system):
    got = []

    class Flood(InlineActor):
        def on_receive(self, message):
            got.append(self)

    one, two = system.spawn(Flood), system.spawn(Flood)
    for _ in range(2000):
        one.tell(1)
    two.tell(1)
    await settle(system)
    assert len(got) == 2001
    assert got.index(two._actor_weakref()) < 1000


@pytest.mark.requirement("actors:cost")
def test_an_idle_inline_actor_is_small_and_makes_no_task_and_no_thread(threaded):
    import gc
    import tracemalloc

    class Idle(InlineActor):
        def on_receive(self, message):
            return message

    threaded.spawn(Idle).ask(1, timeout=5)
    threads = threading.active_count()
    gc.collect()
    tracemalloc.start()
    refs = [threaded.spawn(Idle) for _ in range(500)]
    for ref in refs:
        ref.tell(1)
    refs[-1].ask(1, timeout=5)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / 500 < 2200
    assert threading.active_count() <= threads  # one of an earlier test may have ended meanwhile


def test_a_dead_actor_is_freed_although_refs_to_it_live_on(threaded):
    import gc
    import weakref

    ref = threaded.spawn(Inline)
    actor = weakref.ref(ref._actor_weakref())
    ref.stop(timeout=5)
    end = time.monotonic() + 5
    while actor() is not None and time.monotonic() < end:
        gc.collect()
    assert actor() is None


async def test_what_a_stopped_actor_did_not_handle_is_a_dead_letter(system, caplog):
    ref = system.spawn(Inline)
    before = system.dead_letters.count
    ref.stop(block=False)
    ref.tell("too late")
    await settle(system)
    assert system.dead_letters.count == before + 1
    assert "dead letter" in caplog.text
    assert "too late" not in caplog.text


@pytest.mark.requirement("actors:dead-letters")
async def test_the_log_of_dead_letters_falls_silent_and_the_count_goes_on(caplog):
    system = ActorSystem("noisy")
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            system.names.via("nobody").tell("x")
    assert system.dead_letters.count == 50
    assert len(caplog.messages) == 10
    assert "no more such lines" in caplog.messages[-1]
