"""The supervisor against a pure model: random specs, crashes, stops, requests, failing starts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pykka
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from brama.actors import (
    ActorStartError,
    ActorSystem,
    ChildExistsError,
    ChildNotFoundError,
    ChildRestartingError,
    ChildRunningError,
    ChildSpec,
    Ignore,
    Normal,
    Shutdown,
    Supervisor,
    delete_child,
    kill,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)

from .model import EXISTS, NOT_FOUND, RESTARTING, RUNNING, Model, ModelChild
from .workers import KINDS, Script, calm

PERIOD = 5.0
REFUSALS = {
    ChildExistsError: EXISTS,
    ChildNotFoundError: NOT_FOUND,
    ChildRunningError: RUNNING,
    ChildRestartingError: RESTARTING,
    ActorStartError: "error",
}
ENDINGS: dict[str, Any] = {
    "normal": Normal(),
    "shutdown": Shutdown("done"),
    "crash": ValueError("crash"),
    "exit": SystemExit(1),
    "killed": None,
}
children = st.builds(
    ModelChild,
    id=st.sampled_from("abcdef"),
    restart=st.sampled_from(["permanent", "transient", "temporary"]),
    significant=st.booleans(),
    failures=st.lists(st.sampled_from([None, None, "error", "ignore"]), max_size=3),
)
OPTIONS = st.tuples(
    st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
    st.integers(0, 4),
    st.sampled_from(["never", "any_significant", "all_significant"]),
)


class Loop:
    """A trio loop with a clock that stands still, on a thread, driven from the test's thread."""

    def __init__(self) -> None:
        self.clock = trio.testing.MockClock()
        self.system = ActorSystem("machine")
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self) -> None:
        trio.run(self._main, clock=self.clock)

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.system.run)
            self._token = trio.lowlevel.current_trio_token()
            self._ready.set()

    def do(self, fn: Callable[..., Any], *args: Any) -> Any:
        async def call() -> Any:
            result = await fn(*args)
            await calm(self.system)
            return result

        return trio.from_thread.run(call, trio_token=self._token)

    def close(self) -> None:
        self.system.request_stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert not self.system.cells


class SupervisorMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.scripts: dict[str, Script] = {}

    @initialize(options=OPTIONS, kind=st.sampled_from(KINDS))
    def begin(self, options, kind):
        self.kind = kind
        self.scripts.clear()
        strategy, intensity, auto_shutdown = options
        self.model = Model(strategy, intensity, PERIOD, auto_shutdown)

        async def spawn() -> Any:
            return self.loop.system.spawn(
                Supervisor,
                strategy=strategy,
                intensity=intensity,
                period=PERIOD,
                auto_shutdown=auto_shutdown,
            )

        self.sup = self.loop.do(spawn)

    @precondition(lambda self: not self.alive())
    @rule(options=OPTIONS, kind=st.sampled_from(KINDS))
    def begin_again(self, options, kind):
        self.begin(options, kind)

    def teardown(self) -> None:
        self.loop.close()

    def ask(self, request: Callable[..., Any], *args: Any) -> str | None:
        async def answered() -> Any:
            return await request(self.sup, *args)

        try:
            answer = self.loop.do(answered)
        except tuple(REFUSALS) as refusal:
            return REFUSALS[type(refusal)]
        return "ignore" if request in (start_child, restart_child) and answer is None else None

    def alive(self) -> bool:
        return hasattr(self, "model") and self.model.alive

    # -- rules

    @precondition(alive)
    @rule(child=children)
    def start(self, child):
        if child.restart == "permanent" or self.model.auto_shutdown == "never":
            child.significant = False
        outcomes = {None: None, "error": ValueError("no"), "ignore": Ignore()}
        script = Script(on_start=[outcomes[one] for one in child.failures])
        spec = ChildSpec(
            child.id,
            self.kind,
            (child.id, script),
            restart=child.restart,
            significant=child.significant,
        )
        fresh = self.model.find(child.id) is None
        assert self.ask(start_child, spec) == self.model.start_child(child)
        if fresh:
            self.scripts[child.id] = script

    @precondition(alive)
    @rule(id=st.sampled_from("abcdef"))
    def terminate(self, id):
        assert self.ask(terminate_child, id) == self.model.terminate(id)

    @precondition(alive)
    @rule(id=st.sampled_from("abcdef"))
    def restart(self, id):
        assert self.ask(restart_child, id) == self.model.restart_child(id)

    @precondition(alive)
    @rule(id=st.sampled_from("abcdef"))
    def delete(self, id):
        assert self.ask(delete_child, id) == self.model.delete(id)

    @precondition(lambda self: self.alive() and self.model.children)
    @rule(
        number=st.integers(0, 5),
        ending=st.sampled_from(sorted(ENDINGS)),
        failures=st.lists(st.sampled_from([None, "error", "ignore"]), max_size=3),
    )
    def end(self, number, ending, failures):
        child = self.model.children[number % len(self.model.children)]
        if child.status != "running":
            return
        outcomes = {None: None, "error": ValueError("no"), "ignore": Ignore()}
        self.scripts[child.id].faults["on_start"] = [outcomes[one] for one in failures]
        child.failures[:] = failures

        async def strike() -> None:
            (ref,) = [info.ref for info in await which_children(self.sup) if info.id == child.id]
            if ENDINGS[ending] is None:
                kill(ref)
            else:
                ref.tell(ENDINGS[ending])

        self.loop.do(strike)
        self.model.exited(child, ending in ("normal", "shutdown"))

    @precondition(alive)
    @rule(seconds=st.floats(0.1, 10.0))
    def wait(self, seconds):
        async def jump() -> None:
            self.loop.clock.jump(seconds)

        self.loop.do(jump)
        self.model.now += seconds

    @invariant()
    def agrees_with_the_model(self):
        if not hasattr(self, "model"):
            return
        if not self.model.alive:
            assert not self.sup.is_alive()
            # Nothing is left but the root: no child outlives its supervisor.
            assert len(self.loop.system.cells) == 1
            return

        async def look() -> Any:
            return await which_children(self.sup)

        try:
            infos = self.loop.do(look)
        except pykka.ActorDeadError:
            pytest.fail("the supervisor has ended, and the model has not")
        shown = {
            info.id: (info.status, self.scripts[info.id].log.count(f"+{info.id}")) for info in infos
        }
        assert list(shown) == [child.id for child in self.model.children]
        assert shown == self.model.statuses()
        assert all((info.ref is not None) == (info.status == "running") for info in infos)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL)


@pytest.mark.requirement("actors:strategies", "actors:restart-types", "actors:restart-intensity")
def test_a_supervisor_does_what_the_model_of_otp_does():
    _play(max_examples=60, stateful_step_count=40)


@pytest.mark.soak
def test_a_supervisor_does_what_the_model_of_otp_does_for_a_long_time():
    _play(max_examples=1500, stateful_step_count=60)


def _play(**options: Any) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        SupervisorMachine,
        settings=settings(
            deadline=None, suppress_health_check=list(HealthCheck), database=None, **options
        ),
    )
