"""Removing what is idle, and only that."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from brama.circuits import ALL, Catalogue, Cleanup, Groups, Shared, State
from brama.circuits.cleanup import SLICE
from brama.circuits.roster import SHARDS
from brama.circuits.testing import FakeClock
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement
DAY = 86400.0


class World:
    def __init__(self) -> None:
        self.clock = FakeClock(5.0)
        self.posix = 1_700_000_000.0
        self.shared = Shared(clock=self.clock, wall=lambda: self.posix)
        self.catalogue = Catalogue(self.shared)
        self.cleanup = Cleanup(self.catalogue)

    def names(self) -> list[str]:
        return [circuit.name for circuit in self.catalogue]


@pytest.fixture
def world() -> World:
    return World()


@requirement("BR-18", "B1")
def test_a_connection_that_was_never_used_is_kept_until_it_is_idle_for_the_threshold(world):
    world.catalogue.circuit("fresh")
    assert world.cleanup.run() == 0
    world.clock.advance(DAY - 1)
    assert world.cleanup.run() == 0
    world.clock.advance(1)
    assert world.cleanup.run() == 1
    assert world.names() == []


def use_by_call(circuit) -> None:
    circuit.call(lambda: None)


def use_by_failure(circuit) -> None:
    circuit.failure()


def use_by_success(circuit) -> None:
    circuit.success()


def use_by_neutral(circuit) -> None:
    circuit.try_acquire().ignore()


def use_by_cycle(circuit) -> None:
    circuit.open_circuit()
    circuit.close_circuit()
    circuit._breaker.pending()
    for record in circuit._breaker.pending():
        record.published = True
    circuit._breaker.release()


USES = [use_by_call, use_by_failure, use_by_success, use_by_neutral, use_by_cycle]


@requirement("BR-18")
@pytest.mark.parametrize("use", USES)
def test_any_use_between_two_sweeps_makes_the_age_start_anew(world, use):
    circuit = world.catalogue.circuit("api")
    for _ in range(4):
        world.clock.advance(DAY - 10)
        use(circuit)
        assert world.cleanup.run() == 0
    world.clock.advance(DAY - 1)
    assert world.cleanup.run() == 0
    world.clock.advance(1)
    assert world.cleanup.run() == 1


@requirement("BR-18")
@pytest.mark.parametrize("state", ["open", "half_open"])
def test_a_circuit_that_is_not_closed_is_never_removed(world, state):
    circuit = world.catalogue.circuit("api", expiry=10 * DAY)
    circuit.open_circuit()
    for record in circuit._breaker.pending():
        record.published = True
    if state == "half_open":
        world.clock.advance(10 * DAY)
        circuit.try_acquire()
    for _ in range(5):
        world.clock.advance(DAY)
        assert world.cleanup.run() == 0
    assert world.names() == ["api"]


@requirement("BR-18")
def test_a_circuit_with_a_call_under_way_is_never_removed(world):
    circuit = world.catalogue.circuit("api")
    permit = circuit.try_acquire()
    for _ in range(3):
        world.clock.advance(DAY)
        assert world.cleanup.run() == 0
    permit.success()
    assert world.cleanup.run() == 0, "its end was an activity"
    world.clock.advance(DAY)
    assert world.cleanup.run() == 1


@requirement("BR-18")
def test_a_call_of_an_earlier_generation_keeps_its_circuit(world):
    circuit = world.catalogue.circuit("api")
    late = circuit.try_acquire()
    use_by_cycle(circuit)
    for _ in range(3):
        world.clock.advance(DAY)
        assert world.cleanup.run() == 0
    late.success()
    assert circuit.status().late == 1
    del late
    world.clock.advance(DAY)
    assert world.cleanup.run() == 1


def test_a_permit_that_was_given_up_does_not_keep_its_circuit_for_ever(world):
    world.catalogue.circuit("api").try_acquire()  # collected at once, settled by whoever comes by
    world.cleanup.run()
    world.clock.advance(DAY)
    assert world.cleanup.run() == 1


def test_what_has_not_been_told_yet_keeps_its_circuit(world):
    circuit = world.catalogue.circuit("api")
    circuit.open_circuit()
    circuit.close_circuit()
    world.cleanup.run()
    world.clock.advance(2 * DAY)
    assert world.cleanup.run() == 0
    for record in circuit._breaker.pending():
        record.published = True
    circuit._breaker.release()
    assert world.cleanup.run() == 1


@requirement("BR-18")
def test_a_pinned_circuit_and_the_members_of_groups_are_kept(world):
    groups = Groups(world.catalogue.at)
    world.catalogue.held = groups.holds
    for name in ("member", "plain"):
        world.catalogue.circuit(name)
    world.catalogue.circuit("pinned", pinned=True)
    groups.register("group", ["member"])
    world.clock.advance(DAY)
    assert world.cleanup.run() == 1
    assert world.names() == ["member", "pinned"]
    groups.unregister("group")
    world.catalogue.unregister("pinned")
    world.catalogue.circuit("pinned")
    world.clock.advance(DAY)
    assert world.cleanup.run() == 2


def test_pinned_is_true_or_false(world):
    with pytest.raises(ConfigError, match="pinned must be True or False, got: 1"):
        world.catalogue.circuit("api", pinned=1)


@requirement("B13")
def test_a_jump_of_the_wall_clock_removes_nothing(world):
    world.catalogue.circuit("api")
    world.posix += 10 * DAY
    assert world.cleanup.run() == 0
    world.posix -= 100 * DAY
    world.clock.advance(DAY)
    assert world.cleanup.run() == 1


@requirement("BR-18", "B20")
def test_a_decorated_function_outlives_the_removal_and_registers_again(world):
    circuit = world.catalogue.circuit("api", failure_threshold=2)
    call = circuit(lambda: "answer")
    world.clock.advance(DAY)
    world.cleanup.run()
    assert world.names() == []
    assert call() == "answer"
    assert world.names() == ["api"]
    assert world.catalogue.circuit("api").status().calls == 1
    assert world.cleanup.run() == 0
    world.clock.advance(DAY)
    assert world.cleanup.run() == 1


def test_removing_is_an_event_of_the_connection(world):
    class Everything:
        version = 1

        def mask(self, _connection, _scope, _kind):
            return ALL

    world.shared.interest = Everything()
    circuit = world.catalogue.circuit("api")
    for record in circuit._breaker.pending():
        record.published = True
    circuit._breaker.release()
    world.clock.advance(DAY)
    assert world.cleanup.run() == 1
    (record,) = circuit._breaker.pending()
    assert record.events == ("connection_removed",)
    assert record.data["state"] is State.CLOSED


def test_without_a_threshold_nothing_is_removed(world):
    world.cleanup.configure(inactive_threshold=None)
    world.catalogue.circuit("api")
    world.clock.advance(1000 * DAY)
    world.cleanup.begin()
    assert (world.cleanup.run(), world.cleanup.slice()) == (0, False)


@pytest.mark.parametrize(
    "options",
    [
        {"cleanup_interval": 0},
        {"cleanup_interval": None},
        {"inactive_threshold": -1},
        {"inactive_threshold": "1"},
        {"threshold": 1},
    ],
)
def test_wrong_options_are_refused_and_change_nothing(world, options):
    with pytest.raises(ConfigError):
        world.cleanup.configure(**options)
    assert (world.cleanup.interval, world.cleanup.threshold) == (10.0, DAY)


class Timer:
    """A timer of which every reading takes a step."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def sweep(cleanup: Cleanup) -> Iterator[int]:
    """The circuits that each slice of one sweep has removed."""
    cleanup.begin()
    goes_on = True
    while goes_on:
        before = cleanup.removed
        goes_on = cleanup.slice()
        yield cleanup.removed - before


@requirement("BR-18")
def test_a_sweep_goes_in_slices_and_misses_nobody(world):
    cleanup = Cleanup(world.catalogue, cleanup_interval=1000, timer=Timer(SLICE * 0.6))
    for number in range(500):
        world.catalogue.circuit(f"c{number}")
    world.clock.advance(DAY)
    removed = list(sweep(cleanup))
    assert sum(removed) == 500
    assert len(removed) > 10
    assert max(removed) <= 32


def test_a_sweep_that_takes_too_long_goes_on_at_the_next_interval_where_it_stopped(world):
    cleanup = Cleanup(world.catalogue, timer=Timer(SLICE))
    for number in range(2000):
        world.catalogue.circuit(f"c{number}")
    world.clock.advance(DAY)
    sweeps = []
    while len(world.catalogue):
        sweeps.append(sum(sweep(cleanup)))
    assert len(sweeps) > 2
    assert sum(sweeps) == 2000


def test_every_shard_is_reached_in_one_sweep_of_a_small_catalogue(world):
    for number in range(SHARDS * 3):
        world.catalogue.circuit(f"c{number}")
    world.clock.advance(DAY)
    assert sum(sweep(world.cleanup)) == SHARDS * 3


def test_a_circuit_that_is_used_while_it_is_removed_is_there_afterwards(world, monkeypatch):
    circuit = world.catalogue.circuit("api")
    call = circuit(lambda: None)
    world.clock.advance(DAY)
    held: Callable[[object], bool] = lambda _key: call()  # noqa: E731 - between the two looks
    monkeypatch.setattr(world.catalogue, "held", held)
    assert world.cleanup.run() == 0
    assert world.names() == ["api"]
