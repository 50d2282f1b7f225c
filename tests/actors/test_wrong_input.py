"""What cannot be right is refused where it is given, with the option's name."""

from __future__ import annotations

import asyncio
import copy
import pickle
from datetime import timedelta

import pytest
import trio

from brama.actors import (
    Actor,
    ActorSystem,
    Backoff,
    CallTimeoutError,
    ChildSpec,
    DynamicSupervisor,
    Future,
    HostedActor,
    HostError,
    InlineActor,
    Supervisor,
    WouldBlockError,
    count_children,
    restart_child,
    send_after,
    start_child,
    terminate_child,
)
from brama.telemetry import ConfigError


class Echo(InlineActor):
    def on_receive(self, message):
        return message


class Sleeper(Actor):
    async def on_receive(self, message):
        await trio.sleep(message)
        return "awake"


@pytest.mark.parametrize("timeout", ["5", float("nan"), True, object()])
async def test_a_timeout_that_is_none_is_refused_before_anything_is_sent(system, timeout):
    ref = system.spawn(Echo)
    for wait in (ref.acall("x", timeout=timeout), ref.atell("x", timeout=timeout)):
        with pytest.raises(ConfigError, match="timeout must be"):
            await wait
    with pytest.raises(ConfigError, match="timeout must be"):
        ref.ask("x", timeout=timeout)
    with pytest.raises(ConfigError, match="timeout must be"):
        Future().get(timeout=timeout)
    assert ref.statistics().length == ref.statistics().handled == 0


@pytest.mark.parametrize("timeout", [timedelta(seconds=5), 5, 5.0, float("inf"), 10**400, None])
def test_a_timeout_may_be_a_timedelta_and_as_long_as_you_like(threaded, timeout):
    ref = threaded.spawn(Echo)
    assert ref.call("x", timeout=timeout) == "x"
    assert ref.ask("x", timeout=timeout) == "x"
    assert trio.run(lambda: ref.acall("x", timeout=timeout)) == "x"


@pytest.mark.parametrize("timeout", [0, 0.0, -1, timedelta(-1)])
def test_what_is_left_of_a_deadline_that_has_passed_is_no_time(threaded, timeout):
    ref = threaded.spawn(Sleeper)
    with pytest.raises(CallTimeoutError):
        ref.call(0.05, timeout=timeout)
    with pytest.raises(CallTimeoutError):
        trio.run(lambda: ref.acall(0.05, timeout=timeout))


@pytest.mark.parametrize("cls", [None, int, "Echo", HostedActor, Echo.start])
def test_only_classes_of_actors_are_spawned(threaded, cls):
    with pytest.raises(ConfigError, match="derived from Actor, InlineActor or BlockingActor"):
        threaded.spawn(cls)


def test_the_base_of_the_kinds_is_no_kind():
    with pytest.raises(ConfigError, match=r"ChildSpec\.start"):
        ChildSpec("base", HostedActor)


@pytest.mark.parametrize(
    "request_",
    [
        lambda who: start_child(who, Echo),
        lambda who: terminate_child(who, "x"),
        lambda who: restart_child(who, "x"),
        count_children,
    ],
    ids=["start", "terminate", "restart", "count"],
)
def test_a_request_to_who_is_no_supervisor_is_refused(threaded, request_):
    for who in (None, 3, threaded.spawn(Echo), threaded.names.via("echo")):
        threaded.names.unregister("echo")
        threaded.names.register("echo", threaded.spawn(Echo))
        with pytest.raises(ConfigError, match="supervisor must be"):
            request_(who)


def test_a_key_of_a_timer_must_be_hashable(threaded):
    with pytest.raises(ConfigError, match="key must be"):
        send_after(threaded.spawn(Echo), 1, "x", key=[])


def test_a_timer_may_be_due_after_the_end_of_all_floats(threaded):
    assert send_after(threaded.spawn(Echo), 10**400, "x").active


@pytest.mark.parametrize(
    "make",
    [
        lambda: Supervisor(quarantine="yes"),
        lambda: DynamicSupervisor(quarantine=1),
        lambda: ActorSystem("x", backoff=3),
        lambda: Backoff(min=float("nan")),
    ],
    ids=["quarantine", "dynamic quarantine", "backoff", "nan"],
)
def test_options_of_the_wrong_type_are_refused(make):
    with pytest.raises(ConfigError):
        make()


async def test_an_actor_that_awaits_itself_is_refused_at_once(system):
    class Narcissus(Actor):
        async def on_receive(self, message):
            if message == "me":
                return await self.actor_ref.acall("echo", timeout=None)
            return message

    ref = system.spawn(Narcissus)
    with pytest.raises(WouldBlockError, match="has called itself"):
        await ref.acall("me")
    assert await ref.acall("still here") == "still here"


async def test_a_spawned_task_may_call_its_actor(system):
    class Boss(Actor):
        async def on_receive(self, message):
            if message == "work":
                self.spawn(self.work, self.defer_reply())
            return message

        async def work(self, reply):
            reply.set(await self.actor_ref.acall("help"))

    assert await system.spawn(Boss).acall("work") == "help"


async def test_what_is_no_function_cannot_be_spawned(system):
    class Hasty(Actor):
        async def on_receive(self, message):
            self.spawn(self.work() if message == "coroutine" else None)

        async def work(self):
            pass

    ref = system.spawn(Hasty)
    for message in ("coroutine", "none"):
        with pytest.raises(ConfigError, match="async_fn must be an async function"):
            await ref.acall(message)


def test_a_copy_of_a_ref_is_the_ref_and_a_pickle_of_it_is_refused(threaded):
    ref = threaded.spawn(Echo)
    assert copy.copy(ref) is ref
    assert copy.deepcopy({"to": ref})["to"] is ref
    with pytest.raises(TypeError, match="give the actor a name"):
        pickle.dumps(ref)


def test_a_derived_future_calls_back_when_all_its_sources_are_there():
    one, other = Future(), Future()
    both, called = one.join(other), []
    both.add_done_callback(lambda: called.append("now"))
    one.set(1)
    assert (both.done(), called) == (False, [])
    other.set(2)
    assert (both.done(), called) == (True, ["now"])
    assert trio.run(lambda: both.wait(1)) is True
    assert both.get(timeout=0) == [1, 2]


def test_a_via_needs_a_key_that_can_be_one(threaded):
    with pytest.raises(ConfigError, match="key must be a hashable value"):
        threaded.names.via([])


async def test_a_reply_that_fails_does_so_with_an_exception(system):
    class Vague(InlineActor):
        def on_receive(self, message):
            reply = self.defer_reply()
            with pytest.raises(ConfigError, match="error must be an exception"):
                reply.fail("no")
            reply.fail(LookupError("no"))

    with pytest.raises(LookupError):
        await system.spawn(Vague).acall("?")


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: ActorSystem("x", max_restarts=3), "It is called 'intensity' here."),
        (lambda: Supervisor([], max_seconds=5), "It is called 'period' here."),
        (lambda: DynamicSupervisor(max_seconds=3.0), "It is called 'period' here"),
        (lambda: ChildSpec("a", Echo, type="worker"), "The class tells it"),
        (lambda: ChildSpec("a", Echo, restrat="transient"), "Did you mean 'restart'?"),
        (lambda: ChildSpec("a", Echo).but(shutdwon=1), "Did you mean 'shutdown'?"),
        (lambda: Backoff(minn=1), "Did you mean 'min'?"),
    ],
)
def test_an_option_that_there_is_not_is_a_config_error_and_a_type_error_with_a_hint(make, hint):
    with pytest.raises(ConfigError) as caught:
        make()
    assert isinstance(caught.value, TypeError)
    assert hint in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_type_error_from_within_a_constructor_stays_what_it_is():
    with pytest.raises(TypeError, match="missing 1 required positional argument") as caught:
        ChildSpec("a")
    assert not isinstance(caught.value, ConfigError)


@pytest.mark.parametrize("name", ["", " ", "\t", None, 5])
def test_a_system_needs_a_name_that_can_be_seen(name):
    with pytest.raises(ConfigError, match="name must be a non-empty text"):
        ActorSystem(name)


@pytest.mark.parametrize(
    ("name", "says"),
    [("", "name must be a non-empty value, got: ''"), ([], "name must be a hashable value")],
)
def test_what_cannot_be_the_name_of_an_actor_is_refused_before_there_is_one(threaded, name, says):
    before = list(threaded.cells)
    with pytest.raises(ConfigError, match=says):
        threaded.spawn(Echo, name=name)
    assert list(threaded.cells) == before


def test_run_outside_of_trio_says_how_it_is_run():
    for run in (asyncio.run, lambda coroutine: coroutine.send(None)):
        with pytest.raises(HostError, match=r"trio\.run\(system\.run\).*async with system"):
            run(ActorSystem("x").run())
