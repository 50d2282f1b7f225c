"""Context variables: each actor's own, and its sender's while a message is handled."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar, copy_context

import pytest
import trio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util._once import Once

from brama.actors import Actor, BlockingActor, InlineActor
from brama.actors.mailbox import Carried

VAR: ContextVar[str] = ContextVar("VAR")

KINDS = {"inline": InlineActor, "async": Actor, "blocking": BlockingActor}


def actor(kind, handle, **members):
    """A class of that kind; ``handle(self, message)`` is its `on_receive`."""

    async def handle_async(self, message):
        await trio.lowlevel.checkpoint()
        result = handle(self, message)
        await trio.lowlevel.checkpoint()
        return result

    hook = handle_async if kind == "async" else handle
    return type("Probe", (KINDS[kind],), {"on_receive": hook, **members})


def see(self, message):
    return VAR.get("unset")


def see_and_set(self, message):
    before = VAR.get("unset")
    VAR.set(message)
    return before


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def tracer(monkeypatch):
    """A tracer of an SDK that somebody has installed in OpenTelemetry's API."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    yield trace.get_tracer("test")
    provider.shutdown()


async def test_an_actor_starts_in_an_empty_context(system, kind):
    VAR.set("the host's")
    started = []

    async def note_async(self):
        started.append(dict(copy_context()))

    def note(self):
        started.append(dict(copy_context()))

    cls = actor(kind, see, on_start=note_async if kind == "async" else note)
    assert await system.spawn(cls).ask(1, block=False) == "unset"
    assert started == [{}]


async def test_what_a_handler_sets_its_later_handlers_see_and_nobody_else_does(system, kind):
    cls = actor(kind, see_and_set)
    one, other = system.spawn(cls), system.spawn(cls)
    assert await one.ask("mine", block=False) == "unset"
    assert await other.ask("theirs", block=False) == "unset"
    assert await one.ask("again", block=False) == "mine"
    assert await other.ask("again", block=False) == "theirs"
    assert VAR.get("unset") == "unset"


async def test_what_on_start_sets_the_handlers_see(system, kind):
    async def set_async(self):
        VAR.set("from on_start")

    def set_plain(self):
        VAR.set("from on_start")

    cls = actor(kind, see, on_start=set_async if kind == "async" else set_plain)
    assert await system.spawn(cls).ask(1, block=False) == "from on_start"


async def test_two_inline_actors_in_one_batch_do_not_see_each_others_variables(system):
    cls = actor("inline", see_and_set)
    refs = [system.spawn(cls) for _ in range(5)]
    answers = [ref.ask(str(number), block=False) for number, ref in enumerate(refs)]
    assert [await answer for answer in answers] == ["unset"] * 5
    answers = [ref.ask("x", block=False) for ref in refs]
    assert [await answer for answer in answers] == list("01234")


async def test_an_async_actor_started_by_an_inline_one_does_not_inherit_its_variables(system):
    def start(self, message):
        VAR.set("the starter's")
        return self.actor_system.spawn(actor("async", see))

    child = await system.spawn(actor("inline", start)).ask(1, block=False)
    assert await child.ask(1, block=False) == "unset"


@pytest.mark.requirement("actors:context-propagation")
async def test_while_tracing_the_senders_span_and_variables_are_those_of_the_handler(
    system, kind, tracer
):
    seen = []

    def look(self, message):
        seen.append((trace.get_current_span().get_span_context().span_id, VAR.get("unset")))

    ref = system.spawn(actor(kind, look))
    VAR.set("the sender's")
    with tracer.start_as_current_span("one") as one:
        ref.tell(1)
    with tracer.start_as_current_span("two") as two:
        await ref.ask(2, block=False)
    VAR.set("another")
    await ref.ask(3, block=False)
    assert seen == [
        (one.get_span_context().span_id, "the sender's"),
        (two.get_span_context().span_id, "the sender's"),
        (0, "another"),
    ]


@pytest.mark.requirement("actors:context-propagation")
async def test_a_provider_that_is_installed_while_the_system_runs_is_noticed_at_once(
    system, kind, tracer, monkeypatch
):
    def look(self, message):
        return trace.get_current_span().get_span_context().span_id

    provider = trace.get_tracer_provider()
    ref = system.spawn(actor(kind, look))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    with tracer.start_as_current_span("unseen"):
        assert await ref.ask(1, block=False) == 0
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    with tracer.start_as_current_span("seen") as span:
        assert await ref.ask(1, block=False) == span.get_span_context().span_id


@pytest.mark.requirement("actors:context-propagation")
async def test_the_senders_variables_are_lifted_after_the_message(system, kind, tracer):
    ref = system.spawn(actor(kind, see_and_set))
    assert await copy_context().run(ref.ask, "first", block=False) == "unset"
    VAR.set("the sender's")
    assert await ref.ask("lost with the message", block=False) == "the sender's"
    context = copy_context()
    context.run(VAR.set, "another sender's")
    assert await context.run(ref.ask, "x", block=False) == "another sender's"


@pytest.mark.requirement("actors:context-propagation")
async def test_a_handler_that_raises_leaves_nothing_of_its_sender_behind(system, kind, tracer):
    def fail(self, message):
        if message == "fail":
            raise ValueError(VAR.get("unset"))
        return dict(copy_context())

    ref = system.spawn(actor(kind, fail, carries_context=None))
    context = copy_context()
    context.run(VAR.set, "the sender's")
    with pytest.raises(ValueError, match="the sender's"):
        await context.run(ref.ask, "fail", block=False)
    from contextvars import Context

    answer = await Context().run(ref.ask, "look", block=False)
    assert VAR not in answer


async def test_without_tracing_nothing_is_captured(system):
    ref = system.spawn(actor("inline", see))
    sent = []
    VAR.set("the sender's")
    with pytest.MonkeyPatch.context() as patch:  # over before the system is to be stopped
        patch.setattr(type(ref.actor_inbox), "send", lambda cell, item: sent.append(item) or True)
        ref.tell("bare")
    assert sent == ["bare"]


@pytest.mark.requirement("actors:context-propagation")
async def test_a_class_that_asks_for_it_gets_the_senders_variables_always(system, kind):
    ref = system.spawn(actor(kind, see, carries_context=True))
    VAR.set("the sender's")
    assert await ref.ask(1, block=False) == "the sender's"
    VAR.set("another")
    assert await ref.proxy().on_receive(1) == "another"


async def test_a_class_that_declines_it_gets_them_never(system, kind, tracer):
    ref = system.spawn(actor(kind, see, carries_context=False))
    VAR.set("the sender's")
    assert await ref.ask(1, block=False) == "unset"


def test_the_context_comes_from_threads_and_from_asyncio_alike(threaded):
    ref = threaded.spawn(actor("inline", see, carries_context=True))

    async def from_asyncio():
        VAR.set("a task's")
        return await ref.ask(1, block=False)

    def from_thread():
        VAR.set("a thread's")
        seen.append(ref.ask(1, timeout=5))

    seen = [asyncio.run(from_asyncio())]
    thread = threading.Thread(target=from_thread)
    thread.start()
    thread.join(5)
    assert seen == ["a task's", "a thread's"]


async def test_a_stop_and_a_dead_letter_are_recognised_inside_their_envelope(system, tracer):
    got = []
    system.dead_letters.subscribe(got.append)
    ref = system.spawn(actor("inline", see, carries_context=True))
    ref._actor_weakref().stop()
    ref.tell("too late")
    assert isinstance(next(iter(ref.actor_inbox._user)), Carried)
    await trio.testing.wait_all_tasks_blocked()
    assert not ref.is_alive()
    assert [letter.message for letter in got] == ["too late"]


async def test_a_sender_without_the_variable_finds_the_actors_own_in_place(system, tracer):
    def on_start(self):
        VAR.set("own")

    ref = system.spawn(actor("inline", see, on_start=on_start))
    assert await ref.ask(1, block=False) == "own"
    VAR.set("the sender's")
    assert await ref.ask(1, block=False) == "the sender's"


async def test_a_provider_that_is_given_to_brama_alone_counts_too(system, kind, tracer):
    import brama.telemetry

    provider = TracerProvider()
    trace._TRACER_PROVIDER = None
    ref = system.spawn(actor(kind, see))
    VAR.set("the sender's")
    with brama.telemetry.configure(tracer_provider=provider):
        assert await ref.ask(1, block=False) == "the sender's"
    assert await ref.ask(1, block=False) == "unset"
