"""The calls of all circuits added up, a step at a time."""

from __future__ import annotations

import gc
import weakref

import pytest

from brama.circuits import Catalogue, Shared
from brama.circuits.options import Key
from brama.circuits.sums import STEP, CallTotals, Sums


class One:
    """A catalogue whose circuits are all looked at as one shard."""

    def __init__(self, size: int) -> None:
        self.catalogue = Catalogue(Shared())
        self.keys: list[Key] = [(None, f"c{number}") for number in range(size)]
        for _, name in self.keys:
            self.catalogue.circuit(name).success()
        self.sums = Sums(lambda number: [] if number else self.keys, self.catalogue.at, lambda: 1e9)

    def look_until_all_were(self) -> CallTotals:
        for _ in range(2 * (64 + len(self.keys) // STEP + 1)):
            found = self.sums.look(0.0)
        assert found is not None
        return found


def test_a_look_without_time_goes_one_step_and_the_next_goes_on_from_there() -> None:
    one = One(3 * STEP)
    told = [one.sums.look(0.0) for _ in range(66)]
    assert told[64] is None  # three steps of the first shard, and one each of the others
    assert told[65] is not None
    assert told[65].calls == 3 * STEP
    assert told[65].as_of == 1e9


def test_what_has_gone_between_two_steps_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brama.circuits.sums.shard_of", lambda _key: 0)
    one = One(3 * STEP)
    one.sums.look(0.0)
    for number in (0, 1, 3 * STEP - 1):  # two that were looked at, one that was not yet
        one.sums.bury(one.catalogue.get(f"c{number}")._breaker)
        one.catalogue.unregister(f"c{number}")
    assert one.look_until_all_were().calls == 3 * STEP


def test_between_two_steps_no_circuit_is_kept_alive() -> None:
    one = One(2 * STEP)
    one.sums.look(0.0)
    last = f"c{2 * STEP - 1}"
    gone = weakref.ref(one.catalogue.get(last)._breaker)
    one.catalogue.unregister(last)
    gc.collect()
    assert gone() is None


def test_an_interrupt_in_the_middle_of_a_step_does_not_end_the_counting() -> None:
    one = One(3)
    there, one.sums._at = one.sums._at, lambda _key: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        one.sums.look(0.0)
    one.sums._at = there
    assert one.look_until_all_were().calls == 3
