"""The registered circuits by key, in shards: a pass over a million can be made in pieces."""

from __future__ import annotations

from collections.abc import Iterator

from .circuit import Circuit
from .options import Key

__all__ = ["SHARDS", "Roster", "shard_of"]

SHARDS = 64


def shard_of(key: Key) -> int:
    """The number of the shard that a circuit with this key is in."""
    return hash(key) % SHARDS


class Roster:
    """A mapping from scope and name to the circuit.

    Not one dict, because nobody can stop in the middle of a dict that others change: a copy of a
    million references takes longer than the loop may be held up. A shard is copied in a fraction
    of a millisecond.

    Threads: reading from any, without a lock; whoever writes sees to it that he is alone.
    """

    __slots__ = ("_shards",)

    def __init__(self) -> None:
        self._shards: tuple[dict[Key, Circuit], ...] = tuple({} for _ in range(SHARDS))

    def get(self, key: Key) -> Circuit | None:
        """The circuit under `key`, or None."""
        return self._shards[hash(key) % SHARDS].get(key)

    def put(self, key: Key, circuit: Circuit) -> None:
        """Add or replace."""
        self._shards[hash(key) % SHARDS][key] = circuit

    def pop(self, key: Key) -> Circuit | None:
        """Take out and return; None if there is none."""
        return self._shards[hash(key) % SHARDS].pop(key, None)

    def shard(self, number: int) -> list[Circuit]:
        """The circuits of one shard at this instant."""
        return list(self._shards[number].values())

    def keys(self, number: int) -> list[Key]:
        """The keys of one shard: half as dear as its circuits, where only names are asked for."""
        return list(self._shards[number])

    def __iter__(self) -> Iterator[Circuit]:
        """All circuits, each shard at the instant in which it is reached."""
        for number in range(SHARDS):
            yield from self.shard(number)

    def __len__(self) -> int:
        return sum(map(len, self._shards))
