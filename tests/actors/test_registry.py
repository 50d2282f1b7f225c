"""What both kinds of registries promise, and then each of its own."""

from __future__ import annotations

import threading

import pykka
import pytest

from brama.actors import (
    Actor,
    ActorDeadError,
    BlockingActor,
    DuplicateRegistry,
    Entry,
    InlineActor,
    NameNotFoundError,
    Names,
    NameTakenError,
    Registered,
    Unregistered,
    kill,
)
from brama.actors.testing import settle
from brama.telemetry import ConfigError, attach, detach


class Echo(InlineActor):
    def on_receive(self, message):
        return message


class AsyncEcho(Actor):
    async def on_receive(self, message):
        return message


class BlockingEcho(BlockingActor):
    def on_receive(self, message):
        return message


class Collector(InlineActor):
    def __init__(self):
        super().__init__()
        self.got = []

    def on_receive(self, message):
        if message == "?":
            return list(self.got)
        self.got.append(message)
        return None


@pytest.fixture(params=[Names, DuplicateRegistry])
def registry(request):
    return request.param()


# both kinds


async def test_an_entry_has_a_value_and_is_found_by_its_key(system, registry):
    ref = system.spawn(Echo)
    registry.register("prices", ref, {"currency": "EUR"})
    assert registry.lookup("prices") == (Entry(ref, {"currency": "EUR"}),)
    assert registry.lookup("nothing") == ()
    assert registry.values("prices", ref) == ({"currency": "EUR"},)
    assert "prices" in registry
    assert "nothing" not in registry


async def test_keys_of_an_actor_are_its_own_in_this_registry_only(system, registry):
    ref, other = system.spawn(Echo, name="elsewhere"), system.spawn(Echo)
    registry.register("a", ref)
    registry.register("b", ref)
    registry.register("c", other)
    assert registry.keys(ref) == ("a", "b")
    assert registry.keys(other) == ("c",)
    registry.unregister("a", ref)
    assert registry.keys(ref) == ("b",)
    assert system.names.keys(ref) == ("elsewhere",)


async def test_count_is_of_a_key_or_of_all(system, registry):
    one, two = system.spawn(Echo), system.spawn(Echo)
    registry.register("a", one)
    registry.register("b", two)
    assert (registry.count(), registry.count("a"), registry.count("z")) == (2, 1, 0)
    assert len(registry) == 2


async def test_match_and_select_find_entries_by_their_values(system, registry):
    one, two = system.spawn(Echo), system.spawn(Echo)
    registry.register("a", one, 1)
    registry.register("b", two, 2)
    assert registry.match("a", lambda value: value > 0) == (Entry(one, 1),)
    assert registry.match("a", lambda value: value > 1) == ()
    assert registry.select(lambda key, ref, value: value > 1) == (("b", two, 2),)
    assert len(registry.select()) == 2


@pytest.mark.parametrize("kind", [Echo, AsyncEcho, BlockingEcho])
@pytest.mark.parametrize("make", [Names, DuplicateRegistry])
def test_entries_go_when_their_actor_ends(threaded, kind, make):
    registry = make()
    ref = threaded.spawn(kind)
    for key in range(100):
        registry.register(key, ref, key)
    assert ref.stop(timeout=5)
    assert registry.lookup(1) == ()
    assert len(registry) == 0
    assert registry.keys(ref) == ()


async def test_the_dead_are_refused_and_leave_no_trace(system, registry):
    ref = system.spawn(Echo)
    kill(ref)
    with pytest.raises(ActorDeadError, match="is dead"):
        registry.register("a", ref)
    assert len(registry) == 0


def test_registering_and_ending_at_the_same_moment_leaves_no_entry_behind(threaded):
    for make in (Names, DuplicateRegistry):
        registry = make()
        for turn in range(200):
            ref = threaded.spawn(Echo)
            ref.stop(block=False)
            try:
                registry.register(turn, ref)
            except ActorDeadError:
                pass
            ref.actor_stopped.wait(5)
        threaded.spawn(Echo).ask("the loop has had its turn", timeout=5)
        assert len(registry) == 0


async def test_what_is_no_ref_of_ours_is_refused(system, registry):
    class Foreign(pykka.ThreadingActor):
        use_daemon_thread = True

    foreign = Foreign.start()
    try:
        with pytest.raises(ConfigError, match=r"ref must be a ref of an actor of brama\.actors"):
            registry.register("a", foreign)
    finally:
        foreign.stop()
    assert len(registry) == 0


async def test_a_key_that_is_not_hashable_is_refused(system, registry):
    with pytest.raises(ConfigError, match="key must be a hashable value"):
        registry.register([], system.spawn(Echo))


async def test_what_cannot_be_called_is_refused(system):
    topics = DuplicateRegistry()
    with pytest.raises(ConfigError, match="filter must be something to call with a message"):
        topics.register("t", system.spawn(Echo), filter="EUR")
    with pytest.raises(ConfigError, match="fn must be something to call"):
        topics.dispatch("t", "tell")


async def test_a_listener_hears_of_each_change_in_order(system, registry):
    listener, one, two = system.spawn(Collector), system.spawn(Echo), system.spawn(Echo)
    registry.add_listener(listener)
    registry.register("a", one, 7)
    registry.register("b", two)
    registry.unregister("a", one)
    kill(two)
    await settle(system)
    assert await listener.ask("?", block=False) == [
        Registered(registry, "a", one, 7),
        Registered(registry, "b", two, None),
        Unregistered(registry, "a", one),
        Unregistered(registry, "b", two),
    ]


async def test_a_listener_that_has_left_or_ended_is_told_no_more(system, registry):
    left, ended, one = system.spawn(Collector), system.spawn(Collector), system.spawn(Echo)
    registry.add_listener(left)
    registry.add_listener(ended)
    assert registry.remove_listener(left) is True
    assert registry.remove_listener(left) is False
    kill(ended)
    registry.register("a", one)
    await settle(system)
    assert await left.ask("?", block=False) == []
    assert registry._listeners == ()


def test_reads_wait_for_nobody_who_writes(threaded, registry):
    ref = threaded.spawn(Echo)
    registry.register("a", ref, 1)
    registry.lookup("a")
    seen = []

    def read():
        seen.append(registry.lookup("a"))
        seen.append(registry.count("a"))
        seen.append(registry.match("a", lambda value: True))

    with registry._lock:  # a writer that takes its time
        reader = threading.Thread(target=read)
        reader.start()
        reader.join(5)
        assert not reader.is_alive()
    assert seen == [(Entry(ref, 1),), 1, (Entry(ref, 1),)]


def test_many_threads_may_register_and_leave_at_once(threaded, registry):
    refs = [threaded.spawn(Echo) for _ in range(8)]

    def churn(index):
        for turn in range(200):
            registry.register((index, turn), refs[index], turn)
            if turn % 2:
                registry.unregister((index, turn), refs[index])

    threads = [threading.Thread(target=churn, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry) == 800
    for ref in refs:
        assert len(registry.keys(ref)) == 100
        ref.stop(timeout=5)
    assert len(registry) == 0
    assert registry._table == {}


# unique


@pytest.mark.requirement("actors:registry-unique")
@pytest.mark.parametrize("count", [1_000])
async def test_a_thousand_conflicts_leave_the_registry_no_larger(system, count):
    registry = Names()
    holder, other = system.spawn(Echo), system.spawn(Echo)
    registry.register("x", holder)
    for _ in range(count):
        with pytest.raises(NameTakenError):
            registry.register("x", other)
    assert len(registry) == 1
    assert registry.keys(other) == ()
    assert other.actor_inbox.entries in (None, {})


async def test_names_taken_and_released_by_one_actor_do_not_pile_up(system):
    registry = Names()
    ref = system.spawn(Echo)
    for name in range(1_000):
        registry.register(name, ref)
        registry.unregister(name)
    assert len(registry) == 0
    assert ref.actor_inbox.entries == {}


async def test_update_value_replaces_and_returns_new_and_old(system):
    registry = Names()
    ref = system.spawn(Echo)
    registry.register("x", ref, 1)
    assert registry.update_value("x", lambda old: old + 1) == (2, 1)
    assert registry.update_value("x", "plain") == ("plain", 2)
    assert registry.lookup("x") == (Entry(ref, "plain"),)
    with pytest.raises(NameNotFoundError, match="nobody is registered as 'y'"):
        registry.update_value("y", 1)


def test_updates_from_many_threads_are_all_counted(threaded):
    registry = Names()
    registry.register("x", threaded.spawn(Echo), 0)

    def add():
        for _ in range(200):
            registry.update_value("x", lambda old: old + 1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registry.lookup("x")[0].value == 800


async def test_an_update_function_may_use_the_registry_itself(system):
    registry = Names()
    ref = system.spawn(Echo)
    registry.register("x", ref, 1)
    registry.update_value(
        "x", lambda old: registry.register("y", ref)
    )  # under a lock it would hang
    assert registry.keys(ref) == ("x", "y")


async def test_a_name_is_released_only_by_its_holder_when_one_is_given(system):
    registry = Names()
    holder, other = system.spawn(Echo), system.spawn(Echo)
    registry.register("x", holder)
    assert registry.unregister("x", other) is False
    assert registry.unregister("x", holder) is True


# duplicate


@pytest.mark.requirement("actors:registry-duplicate")
async def test_many_actors_and_one_several_times_stand_under_one_key(system):
    topics = DuplicateRegistry()
    one, two = system.spawn(Echo), system.spawn(Echo)
    topics.register("t", one, 1)
    topics.register("t", two, 2)
    topics.register("t", one, 3)
    assert set(topics.lookup("t")) == {Entry(one, 1), Entry(two, 2), Entry(one, 3)}
    assert topics.keys(one) == ("t",)
    assert topics.values("t", one) == (1, 3)
    assert topics.unregister("t", one, where=lambda value: value == 1) == 1
    assert topics.values("t", one) == (3,)
    assert topics.unregister("t", one) == 1
    assert topics.unregister("t", one) == 0
    assert topics.lookup("t") == (Entry(two, 2),)


@pytest.mark.requirement("actors:registry-duplicate")
async def test_dispatch_runs_in_the_caller_for_each_entry(system):
    topics = DuplicateRegistry()
    one, two = system.spawn(Echo), system.spawn(Echo)
    topics.register("t", one, 1)
    topics.register("t", two, 2)
    seen = []
    done = topics.dispatch("t", lambda ref, value: seen.append((ref, value, threading.get_ident())))
    assert done == 2
    assert seen == [(one, 1, threading.get_ident()), (two, 2, threading.get_ident())]


@pytest.mark.requirement("actors:registry-duplicate")
async def test_dispatch_calls_nothing_when_nobody_is_there(system):
    topics = DuplicateRegistry()
    ref = system.spawn(Echo)
    topics.register("t", ref)
    kill(ref)
    assert topics.dispatch("t", pytest.fail) == 0
    assert topics.dispatch("never", pytest.fail) == 0


@pytest.mark.requirement("actors:registry-duplicate")
async def test_one_bad_entry_does_not_stop_the_others_and_is_reported(system, caplog):
    topics = DuplicateRegistry()
    refs = [system.spawn(Echo) for _ in range(3)]
    for index, ref in enumerate(refs):
        topics.register("t", ref, index)
    heard, seen = [], []
    attach("test", "brama.registry.dispatch_failed", lambda *given: heard.append(given[2]))

    def fn(ref, value):
        if value == 1:
            raise ValueError("a bad one")
        seen.append(value)

    try:
        assert topics.dispatch("t", fn) == 2
    finally:
        detach("test")
    assert seen == [0, 2]
    assert heard == [{"actor_class": "Echo", "key": "t", "error_type": "ValueError"}]
    (record,) = caplog.records
    assert "dispatch to 't': 1 entries failed" in record.getMessage()
    assert "a bad one" in caplog.text


@pytest.mark.requirement("actors:registry-duplicate")
async def test_a_filter_in_the_entry_decides_what_arrives(system):
    topics = DuplicateRegistry()
    euros, every = system.spawn(Collector), system.spawn(Collector)
    topics.register("prices", euros, filter=lambda message: message["currency"] == "EUR")
    topics.register("prices", every)
    assert topics.publish("prices", {"currency": "EUR"}) == 2
    assert topics.publish("prices", {"currency": "USD"}) == 1
    assert await euros.ask("?", block=False) == [{"currency": "EUR"}]
    assert len(await every.ask("?", block=False)) == 2


async def test_a_filter_that_fails_stops_no_other_entry(system, caplog):
    topics = DuplicateRegistry()
    broken, well = system.spawn(Collector), system.spawn(Collector)
    topics.register("t", broken, filter=lambda message: message["missing"])
    topics.register("t", well)
    assert topics.publish("t", {}) == 1
    assert await well.ask("?", block=False) == [{}]
    assert "KeyError" in caplog.text


async def test_without_a_message_no_filter_is_asked(system):
    topics = DuplicateRegistry()
    topics.register("t", system.spawn(Echo), filter=pytest.fail)
    assert topics.dispatch("t", lambda ref, value: None) == 1


async def test_an_actor_that_dies_during_a_dispatch_is_no_failure(system, caplog):
    topics = DuplicateRegistry()
    one, two = system.spawn(Echo), system.spawn(Echo)
    topics.register("t", one)
    topics.register("t", two)

    def fn(ref, value):
        kill(two)
        ref.tell("x")

    assert topics.dispatch("t", fn) == 1
    assert caplog.records == []


async def test_a_dispatch_may_change_the_registry(system):
    topics = DuplicateRegistry()
    ref = system.spawn(Echo)
    topics.register("t", ref)
    assert topics.dispatch("t", lambda ref, value: topics.register("t", ref, "again")) == 1
    assert topics.dispatch("t", lambda ref, value: topics.unregister("t", ref)) == 2
    assert len(topics) == 0


async def test_ten_thousand_entries_under_one_key_cost_a_write_each_and_no_copy(system):
    topics = DuplicateRegistry()
    ref = system.spawn(Echo)
    other = system.spawn(Echo)
    for key in range(10_000):
        topics.register(key, ref)
    topics.register("t", other)
    bucket = topics._table["t"]
    assert bucket.seen is None  # nothing is built before somebody reads
    first = topics._records("t")
    assert topics._records("t") is first  # and then once
    kill(ref)
    await settle(system)
    assert len(topics) == 1
