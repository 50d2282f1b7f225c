"""Links and registries against models: whatever is linked, registered and ended, in any order."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from brama.actors import (
    Actor,
    ActorSystem,
    DuplicateRegistry,
    ExitSignal,
    InlineActor,
    Names,
    NameTakenError,
    Normal,
    kill,
)
from brama.actors.testing import settle_blocking

KEYS = st.sampled_from(["a", "b", "c"])


def handle(self, message):
    if isinstance(message, BaseException):
        raise message
    if callable(message):
        return message(self)
    self.signals.append(message)
    return None


class Inline(InlineActor):
    def __init__(self, trap):
        super().__init__()
        self.trap_exit = trap
        self.signals = []

    on_receive = handle


class Async(Actor):
    def __init__(self, trap):
        super().__init__()
        self.trap_exit = trap
        self.signals = []

    async def on_receive(self, message):
        return handle(self, message)


class Machine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.system = ActorSystem("model").start()

    def settle(self):
        settle_blocking(self.system)

    def teardown(self):
        self.system.stop()


class LinkedActors(Machine):
    """Who survives is who cannot be reached from an abnormal end without passing a trapper."""

    actors = Bundle("actors")

    def __init__(self):
        super().__init__()
        self.alive = set()
        self.links = set()
        self.signals = {}
        self.traps = {}

    @rule(target=actors, kind=st.sampled_from([Inline, Async]), trap=st.booleans())
    def spawn(self, kind, trap):
        ref = self.system.spawn(kind, trap)
        self.alive.add(ref)
        self.signals[ref] = []
        self.traps[ref] = trap
        return ref

    @rule(one=actors, two=actors)
    def link(self, one, two):
        if one not in self.alive:
            return
        one.tell(lambda self: self.link(two))
        self.settle()
        if two in self.alive:
            if one is not two:
                self.links.add(frozenset((one, two)))
        elif self.traps[one]:
            self.signals[one].append(two)
        else:
            self.ends(one, normally=False)

    @rule(one=actors, two=actors)
    def unlink(self, one, two):
        if one in self.alive:
            linked = frozenset((one, two)) in self.links
            assert one.ask(lambda self: self.unlink(two), timeout=5) is linked
            self.links.discard(frozenset((one, two)))

    @rule(ref=actors, how=st.sampled_from(["crash", "kill", "exit"]))
    def end(self, ref, how):
        if ref not in self.alive:
            return
        if how == "crash":
            ref.tell(ValueError())
        elif how == "kill":
            kill(ref)
        else:
            ref.tell(lambda self: self.exit(Normal()))
        self.settle()
        self.ends(ref, normally=how == "exit")

    def ends(self, ref, *, normally):
        doomed = [ref]
        self.alive.discard(ref)
        for gone in doomed:
            for pair in [pair for pair in self.links if gone in pair]:
                self.links.discard(pair)
                (peer,) = pair - {gone}
                if peer not in self.alive:
                    continue
                if self.traps[peer]:
                    self.signals[peer].append(gone)
                elif not normally:
                    self.alive.discard(peer)
                    doomed.append(peer)

    @invariant()
    def the_living_and_their_signals_are_those_of_the_model(self):
        self.settle()
        assert {ref for ref in self.signals if ref.is_alive()} == self.alive
        for ref in self.alive:
            seen = ref.ask(lambda self: list(self.signals), timeout=5)
            assert all(isinstance(signal, ExitSignal) for signal in seen)
            assert sorted(id(signal.ref) for signal in seen) == sorted(map(id, self.signals[ref]))
            links = {peer.ref for peer in ref.actor_inbox.links or ()}
            assert links == {peer for pair in self.links if ref in pair for peer in pair - {ref}}


class RegisteredActors(Machine):
    """Both kinds of registry hold what was registered by those who live, and nothing else."""

    actors = Bundle("actors")

    def __init__(self):
        super().__init__()
        self.names = Names()
        self.topics = DuplicateRegistry()
        self.holders = {}
        self.entries = []

    @rule(target=actors, kind=st.sampled_from([Inline, Async]))
    def spawn(self, kind):
        return self.system.spawn(kind, False)

    @rule(key=KEYS, ref=actors, value=st.integers(0, 3))
    def register(self, key, ref, value):
        holder = self.holders.get(key)
        try:
            self.names.register(key, ref, value)
        except NameTakenError:
            assert holder is not None
            assert holder[0] is not ref
        else:
            assert holder is None or holder[0] is ref
            self.holders.setdefault(key, (ref, value))

    @rule(key=KEYS)
    def unregister(self, key):
        assert self.names.unregister(key) is (self.holders.pop(key, None) is not None)

    @rule(key=KEYS)
    def update(self, key):
        if key in self.holders:
            ref, value = self.holders[key]
            assert self.names.update_value(key, lambda old: old + 1) == (value + 1, value)
            self.holders[key] = (ref, value + 1)

    @rule(key=KEYS, ref=actors, value=st.integers(0, 3))
    def join(self, key, ref, value):
        self.topics.register(key, ref, value)
        self.entries.append((key, ref, value))

    @rule(key=KEYS, ref=actors, value=st.none() | st.integers(0, 3))
    def leave(self, key, ref, value):
        where = None if value is None else lambda one: one == value
        gone = [
            entry
            for entry in self.entries
            if entry[:2] == (key, ref) and (value is None or entry[2] == value)
        ]
        assert self.topics.unregister(key, ref, where=where) == len(gone)
        self.entries = [entry for entry in self.entries if entry not in gone]

    @rule(ref=consumes(actors))
    def end(self, ref):
        kill(ref)
        self.settle()
        self.holders = {key: held for key, held in self.holders.items() if held[0] is not ref}
        self.entries = [entry for entry in self.entries if entry[1] is not ref]

    @invariant()
    def the_registries_hold_what_the_model_holds(self):
        assert {key: (ref, value) for key, ref, value in self.names.select()} == self.holders
        assert len(self.names) == len(self.holders)
        assert len(self.topics) == len(self.entries)
        for key in "abc":
            mine = [entry[1:] for entry in self.entries if entry[0] == key]
            assert sorted(map(repr, map(tuple, self.topics.lookup(key)))) == sorted(map(repr, mine))


brief = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLinkedActors = LinkedActors.TestCase
TestLinkedActors.settings = brief
TestRegisteredActors = RegisteredActors.TestCase
TestRegisteredActors.settings = brief
