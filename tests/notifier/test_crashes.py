"""Whatever dies, and whenever: no critical event is lost, and their order holds."""

from __future__ import annotations

import random
import threading
from collections import defaultdict

import pytest

import brama
from brama.actors import kill
from brama.circuits import Event
from brama.notifier import HandlerActor, inline

requirement = pytest.mark.requirement
WITHIN = 30.0
WANTED = ["state_change", "circuit_opened", "circuit_closed"]


class Ledger:
    """What one handler got, and a judgement of it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.last: defaultdict[str, int] = defaultdict(int)
        self.changed = threading.Condition()

    def add(self, event: Event) -> None:
        with self.changed:
            self.events.append(event)
            self.last[event.connection] = event.seq or 0
            self.changed.notify_all()

    async def await_it(self, event: Event) -> None:
        self.add(event)

    def wait(self, last: dict[str, int]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: dict(self.last) == last, WITHIN), (
                dict(self.last),
                last,
            )

    def judge(self) -> None:
        """Gapless and in order for each connection; doubles only where they are marked."""
        previous: dict[str, Event] = {}
        for event in self.events:
            before = previous.get(event.connection)
            if before is not None and before.seq == event.seq:
                assert event.redelivered, event
                assert event.n == before.n
                assert event.event_id == before.event_id
            else:
                assert event.seq == (before.seq if before else 0) + 1, (before, event)
            previous[event.connection] = event
        numbers = sorted({event.n for event in self.events})
        assert numbers == list(range(1, len(numbers) + 1))

    def judge_repeats(self) -> None:
        """No gap for any connection; what was there before is marked and is the same delivery."""
        last: defaultdict[str, int] = defaultdict(int)
        ids: dict[int, str] = {}
        for event in self.events:
            assert event.seq is not None
            assert event.seq <= last[event.connection] + 1, event
            assert event.redelivered or event.seq == last[event.connection] + 1, event
            last[event.connection] = max(last[event.connection], event.seq)
            assert ids.setdefault(event.n, event.event_id) == event.event_id
        assert sorted(ids) == list(range(1, len(ids) + 1))


def refs(system: brama.System, target: str) -> list:
    """The actors of this kind that are alive now; read on the loop."""
    cells = list(system.actors.cells)
    kinds = {
        "registry": "Registry",
        "connection": "ConnectionActor",
        "circuits": "Circuits",
        "subscribers": "Subscribers",
        "handler": "Handler",
        "handler supervisor": "HandlerSupervisor",
    }
    if target == "deliverer":
        return [c.ref for c in cells if c.ref.actor_class.__name__.endswith("Deliverer")]
    return [c.ref for c in cells if c.ref.actor_class.__name__ == kinds[target]]


def run_load(system: brama.System, strike, until, rounds: int = 120) -> None:
    """Two connections change state; `strike` is called in between, at random."""
    ledgers = [Ledger() for _ in range(4)]

    class Handler(HandlerActor):
        async def on_event(self, event: Event) -> None:
            ledgers[3].add(event)

    system.subscribe(inline(ledgers[0].add), events=WANTED)
    system.subscribe(ledgers[1].add, events=WANTED)
    system.subscribe(ledgers[2].await_it, events=WANTED)
    system.subscribe(Handler, events=WANTED)
    system.start()
    circuits = [system.circuit(name) for name in "ab"]
    chance = random.Random(7)
    for _ in range(rounds):
        for circuit in circuits:
            circuit.open_circuit()
            if chance.random() < 0.1:
                strike()
            circuit.close_circuit()
            until(lambda: len(getattr(circuit._breaker.log, "records", ())) < 500)  # noqa: B023
    last = {circuit.name: rounds * 4 for circuit in circuits}
    for ledger in ledgers:
        ledger.wait(last)
        ledger.judge()


@requirement("SB-10", "SB-11", "BR-17", "actors:restart-intensity")
@pytest.mark.parametrize(
    "target",
    [
        "registry",
        "connection",
        "circuits",
        "subscribers",
        "handler",
        "deliverer",
        "handler supervisor",
    ],
)
def test_kills_under_load_lose_nothing_and_keep_the_order(target, until, monkeypatch):
    monkeypatch.setattr("brama.notifier.deliverers.INTENSITY", 1000)
    monkeypatch.setattr("brama.notifier.deliverers.BACKOFF", None)
    system = brama.System(brama.Settings())
    system.actors._root_options = {"intensity": 1000, "period": 5.0}
    killed = []

    def strike() -> None:
        until(lambda: refs(system, target))
        for ref in refs(system, target):
            killed.append(ref)
            kill(ref)

    try:
        run_load(system, strike, until)
        assert len(killed) > 10
    finally:
        report = system.stop()
    # Nobody was left behind outside of the tree.
    assert report.complete
    assert report.killed == ()


@requirement("SB-10", "SB-11")
def test_the_death_of_the_loop_loses_nothing(until, monkeypatch):
    system = brama.System(brama.Settings())
    system.actors.backoff = brama.actors.Backoff(min=0.001, max=0.002)
    deaths = []

    def die() -> None:
        raise KeyError("the loop is killed by its test")

    def strike() -> None:
        if len(deaths) < 3:
            until(lambda: system.actors.scheduler._token is not None)
            token = system.actors.scheduler._token
            deaths.append(1)
            # trio treats an exception in such a callback as a bug in itself, and ends the run.
            token.run_sync_soon(die)
            until(lambda: system.actors.health().tree_restarts >= len(deaths))

    try:
        run_load(system, strike, until)
        assert len(deaths) == 3
        assert system.health().status == "degraded"
    finally:
        system.stop()


@requirement("SB-10")
def test_the_end_of_the_whole_tree_loses_nothing(until, recorder):
    system = brama.System(brama.Settings())
    system.actors.backoff = brama.actors.Backoff(min=0.001, max=0.002)
    seen = recorder()
    system.subscribe(seen, events=["state_change"])
    system.start()
    circuit = system.circuit("search")
    try:
        for number in range(10):
            circuit.open_circuit()
            if number % 3 == 0:
                restarts = system.actors.health().tree_restarts
                kill(system.actors.root)
                until(lambda: system.actors.health().tree_restarts > restarts)  # noqa: B023
                until(lambda: system.tree().status == "running")
            circuit.close_circuit()
        found = seen.wait_until(lambda events: events and events[-1].seq == 39)
        kept = [e.seq for e in found if not e.redelivered]
        assert kept == list(range(1, 40, 2))
    finally:
        system.stop()


def test_a_log_that_overflows_tells_of_the_gap_in_its_place():
    everything, one_kind, other = [], [], []
    there = threading.Event()
    with brama.System(brama.Settings()) as system:
        system.subscribe(inline(everything.append), connection="search")
        system.subscribe(inline(one_kind.append), events=["circuit_opened"])
        system.subscribe(inline(other.append), connection="other")
        circuit = system.circuit("search")
        system.subscribe(
            inline(lambda event: event.data["reason"] == "last" and there.set()),
            events=["circuit_reset"],
        )
        held, free = threading.Event(), threading.Event()
        system.actors.call_soon(lambda: (held.set(), free.wait(10)))
        assert held.wait(10)
        try:
            for _ in range(1000):
                circuit.open_circuit()
                circuit.close_circuit()
            circuit.reset_circuit("last")
        finally:
            free.set()
        assert there.wait(10)
    critical = [event for event in everything if event.critical]
    gap = next(event for event in everything if event.event == "gap")
    assert gap.data["lost"] + len(critical) >= 4001
    assert critical[0].seq > 1
    assert critical[0].seq - 1 <= gap.data["lost"]
    after = everything[everything.index(gap) + 1]
    assert after.seq == critical[0].seq
    assert [event.event for event in one_kind].count("gap") == 1
    assert one_kind[0].event == "gap"
    assert other == []


@requirement("SB-10", "SB-11", "PR-09")
def test_kills_of_anything_in_any_order_lose_nothing_of_batches_globs_and_actors(
    until, monkeypatch
):
    monkeypatch.setattr("brama.notifier.deliverers.INTENSITY", 1000)
    monkeypatch.setattr("brama.notifier.deliverers.BACKOFF", None)
    system = brama.System(brama.Settings())
    system.actors._root_options = {"intensity": 1000, "period": 5.0}
    batches, globbed = Ledger(), Ledger()
    for ledger, options in ((batches, {"batch": 7, "batch_age": 0.05}), (globbed, {})):

        def hear(found: object, ledger: Ledger = ledger) -> None:
            for event in found if isinstance(found, list) else [found]:
                ledger.add(event)

        system.subscribe(hear, events=["state_change", "circuit_*"], connection="?", **options)
    chance = random.Random(11)
    killed: list[str] = []
    kinds = ["registry", "connection", "circuits", "subscribers", "deliverer", "handler supervisor"]

    def strike() -> None:
        kind = chance.choice(kinds)
        until(lambda: refs(system, kind))  # it may just be on its way
        found = refs(system, kind)
        if found:
            killed.append(kind)
            kill(chance.choice(found))

    try:
        run_load(system, strike, until, rounds=150)
        for ledger in (batches, globbed):
            ledger.wait({"a": 600, "b": 600})
            ledger.judge_repeats()
        assert len(set(killed)) >= 4
    finally:
        system.stop()


@pytest.mark.parametrize("kind", ["plain", "async", "inline"])
def test_a_handler_that_fails_is_one_line_and_one_more_when_its_event_is_given_up(
    system, until, caplog, kind
):
    def plain(_event: Event) -> None:
        raise ValueError("out of paper")

    async def asynchronous(_event: Event) -> None:
        raise ValueError("out of paper")

    handlers = {"plain": plain, "async": asynchronous, "inline": inline(plain)}
    caplog.set_level("INFO")
    subscription = system.subscribe(handlers[kind], events=["circuit_opened"], max_redeliveries=1)
    system.circuit("a").open_circuit()
    until(lambda: subscription.dropped == 1 and "given up" in caplog.text)
    told = [
        one for one in caplog.records if one.name in ("pykka", "brama.notifier", "brama.actors")
    ]
    assert [one.levelname for one in told] == ["WARNING", "ERROR"]
    assert all(one.exc_info for one in told)
    assert "gets the event again" in told[0].getMessage()
