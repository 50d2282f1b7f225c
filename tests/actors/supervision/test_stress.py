"""Everything at once, from many threads: starts, stops, kills, requests, looks."""

from __future__ import annotations

import logging
import random
import threading
import time

import pytest
import trio

from brama.actors import (
    Actor,
    ActorSystem,
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    Killed,
    Supervisor,
    kill,
    start_child,
    terminate_child,
    which_children,
)
from brama.telemetry import BramaError

from .workers import KINDS, calm, fate, until

pool, static = "pool", "static"


def _system():
    return ActorSystem(
        "stress",
        children=[
            ChildSpec(pool, DynamicSupervisor, kwargs={"intensity": 5, "quarantine": True}),
            ChildSpec(static, Supervisor, (KINDS,), {"strategy": "one_for_all"}),
        ],
        backoff=Backoff(min=0.001, max=0.01),
        stop_timeout=2,
    )


class Hand(threading.Thread):
    """Does at random what users do, and some things that they should not."""

    def __init__(self, system, seed, until):
        super().__init__(daemon=True)
        self.system = system
        self.chance = random.Random(seed)
        self.until = until
        self.acts = 0
        self.surprises = []

    def run(self):
        while time.monotonic() < self.until:
            self.acts += 1
            try:
                self._act(self.chance.random())
            except BramaError:
                pass  # gone, stopped, refused: all in order
            except Exception as error:
                self.surprises.append(error)

    def _act(self, what):
        system, chance = self.system, self.chance
        if what < 0.02:
            system.stop(timeout=2)
        elif what < 0.05:
            system.start()
        elif what < 0.06:
            kill(system.root)
        elif what < 0.15:
            str(system.tree()), system.health(), system.actors()
        elif what < 0.35:
            system.spawn(chance.choice(KINDS)).ask("hi", timeout=10)
        else:
            self._ask(system, chance, what)

    def _ask(self, system, chance, what):
        tree = system.tree()
        nodes = {node.id for node in tree.children}
        name = pool if chance.random() < 0.8 else static
        if name not in nodes:
            return
        supervisor = system.root._actor_weakref()._children.get(name).cell.ref
        if what < 0.6 and name == pool:
            restart = chance.choice(["permanent", "transient", "temporary"])
            spec = ChildSpec(chance.randrange(50), chance.choice(KINDS), restart=restart)
            start_child(supervisor, spec).get(timeout=10)
        elif what < 0.75 and name == pool:
            terminate_child(supervisor, chance.randrange(50)).get(timeout=10)
        else:
            for info in which_children(supervisor).get(timeout=10):
                if info.ref is not None and chance.random() < 0.2:
                    if chance.random() < 0.5:
                        kill(info.ref)
                    else:
                        info.ref.actor_inbox.send(ValueError("bug"))


def _play(seconds):
    logging.disable(logging.CRITICAL)
    threads = threading.active_count()
    system = _system()
    try:
        hands = [Hand(system, seed, time.monotonic() + seconds) for seed in range(6)]
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join(seconds + 30)
            assert not hand.is_alive()
        surprises = [s for hand in hands for s in hand.surprises]
        # Nothing but an actor that went between two looks of ours.
        assert [s for s in surprises if not isinstance(s, AttributeError)] == []
        assert sum(hand.acts for hand in hands) > 20 * len(hands)
        # After all that it works, and it ends whole.
        system.start()
        assert system.spawn(KINDS[0]).ask("hi", timeout=10) == "hi"
        report = system.stop(timeout=10)
        assert report.complete
        assert report.killed == ()
        until(lambda: not system.cells)
        until(lambda: threading.active_count() <= threads, 10)
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.requirement("actors:systems", "actors:ordered-shutdown")
def test_a_system_survives_many_hands_that_start_stop_kill_and_look():
    _play(1.0)


@pytest.mark.soak
@pytest.mark.requirement("actors:systems", "actors:ordered-shutdown")
def test_a_system_survives_many_hands_for_a_minute():
    _play(60.0)


async def test_a_kill_in_the_very_step_in_which_a_handler_ends_is_not_lost(system, clock):
    release = trio.Event()

    class Held(Actor):
        async def on_receive(self, message):
            await release.wait()

    ref = system.spawn(Held)
    reasons = fate(ref)
    # In the control lane, where no further mail makes it look up once more.
    ref.actor_inbox.send_control("go")
    await calm(system)
    release.set()  # its handler will go on, so the kill finds nothing to cancel
    kill(ref)
    await calm(system)
    assert reasons == [Killed()]
    assert ref.actor_inbox not in system.cells
