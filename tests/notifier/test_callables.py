"""What is a function of one event, and what only looks like one."""

from __future__ import annotations

import asyncio
import functools
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pykka
import pytest

import brama
from brama.circuits import Event
from brama.notifier import HandlerActor, inline
from brama.notifier.kinds import handles
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement
WANTED = ["circuit_opened"]


def generating(_event: Event) -> Any:
    yield


async def generating_async(_event: Event) -> Any:
    yield


def of_two(_event: Event, _other: object) -> None: ...


class Called:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)


@functools.wraps(of_two)
def wrapping(*args: object) -> None:
    of_two(*args, None)  # type: ignore[call-arg, arg-type]


@pytest.mark.parametrize(
    "given",
    [generating, generating_async, functools.partial(generating), of_two, lambda: None, Called],
    ids=["generator", "async generator", "partial of one", "of two", "of none", "a class"],
)
def test_what_would_never_run_when_it_is_called_with_an_event_is_refused(system, given):
    with pytest.raises(ConfigError, match="handler must be a function of one event"):
        system.subscribe(given)
    with pytest.raises(ConfigError, match="handler must be a function of one event"):
        inline(given)
    assert system.subscriptions() == ()


@pytest.mark.parametrize(
    "given",
    [
        functools.partial(of_two, None),
        wrapping,
        Called(),
        Called().__call__,
        [].append,
        print,
        MagicMock(),
        AsyncMock(),
        lambda _event, _more=1: None,
        lambda *_events: None,
    ],
    ids=[
        "partial",
        "wrapper",
        "object",
        "method",
        "built-in-method",
        "built-in",
        "mock",
        "async-mock",
        "default",
        "any",
    ],
)
def test_whatever_takes_one_event_is_a_handler(given):
    assert handles(given)


def test_a_filter_of_more_than_one_event_is_refused(system):
    with pytest.raises(ConfigError, match="filter must be a plain function of one event"):
        system.subscribe(print, filter=of_two)


@requirement("SB-07")
@pytest.mark.parametrize("kind", ["worker", "inline", "actor"])
def test_a_plain_handler_that_gives_a_coroutine_fails_and_is_not_taken_for_done(
    system, until, caplog, kind
):
    async def never(_event: Event) -> None:
        raise AssertionError("nobody awaits it")

    class Giving(HandlerActor):
        def on_event(self, event: Event) -> Any:
            return never(event)

    def promising(event: Event) -> Any:
        return never(event)

    given = {"worker": promising, "inline": inline(promising)}
    subscription = system.subscribe(given.get(kind, Giving), events=WANTED, max_redeliveries=0)
    system.circuit("search").open_circuit()
    until(lambda: subscription.dropped == 1)
    until(lambda: "await it in an async function" in caplog.text)
    assert subscription.delivered == 0


def test_a_filter_that_gives_a_coroutine_does_not_match(system, until):
    async def never(_event: Event) -> bool:
        return True

    def promising(event: Event) -> Any:
        return never(event)

    seen = Called()
    subscription = system.subscribe(seen, events=WANTED, filter=promising)
    system.circuit("search").open_circuit()
    until(lambda: subscription.filter_failures == 1)
    assert seen.events == []


class Needing(HandlerActor):
    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def on_event(self, event: Event) -> None: ...


class Deaf(HandlerActor):
    def on_event(self) -> None:  # type: ignore[override]
        ...


def test_a_handler_actor_that_cannot_be_made_or_called_is_refused(system):
    with pytest.raises(ConfigError, match=r"a class that can be made: Needing\(title: "):
        system.subscribe(Needing)
    with pytest.raises(ConfigError, match="a class whose on_event takes one event"):
        system.subscribe(Deaf)
    with system.subscribe(functools.partial(Needing, "down")):
        pass


def test_the_instance_of_a_handler_actor_is_refused_with_a_word_about_its_class(system):
    with pytest.raises(ConfigError, match="Subscribe the class"):
        system.subscribe(Needing("down"))


def test_a_proxy_of_an_actor_stands_for_the_actor(system, until):
    seen: list[object] = []

    class Plain(pykka.ThreadingActor):
        def on_receive(self, message: object) -> None:
            seen.append(message)

    ref = Plain.start()
    try:
        subscription = system.subscribe(ref.proxy(), events=WANTED)
        assert system.subscribe(ref, events=WANTED) is subscription
        system.circuit("search").open_circuit()
        until(lambda: len(seen) == 1)
        assert isinstance(seen[0], brama.Event)
        assert system.unsubscribe(ref.proxy()) == 1
    finally:
        ref.stop()


class Promise:
    """Awaitable, and no coroutine: what aiohttp's ``session.post(...)`` gives, for example."""

    def __await__(self) -> Any:
        raise AssertionError("nobody awaits it")


@pytest.mark.parametrize("kind", ["worker", "inline", "actor", "async"])
def test_a_handler_that_gives_anything_to_be_awaited_fails_and_is_not_taken_for_done(
    system, until, caplog, kind
):
    async def late(_event: Event) -> Any:
        return Promise()

    class Giving(HandlerActor):
        def on_event(self, event: Event) -> Any:
            return Promise()

    def plain(event: Event) -> Any:
        return Promise()

    given = {"worker": plain, "inline": inline(plain), "async": late}
    subscription = system.subscribe(given.get(kind, Giving), events=WANTED, max_redeliveries=0)
    system.circuit("search").open_circuit()
    until(lambda: subscription.dropped == 1)
    until(lambda: "the handler gave a Promise, which nobody runs" in caplog.text)
    assert subscription.delivered == 0


def test_a_handler_may_give_a_future_of_what_is_under_way(system, until):
    loop = asyncio.new_event_loop()
    subscription = system.subscribe(lambda _event: loop.create_future(), events=WANTED)
    of_pykka = system.subscribe(lambda _event: pykka.ThreadingFuture(), events=WANTED)
    system.circuit("search").open_circuit()
    until(lambda: subscription.delivered == of_pykka.delivered == 1)
    loop.close()
