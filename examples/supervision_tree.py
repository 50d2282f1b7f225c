"""Keep actors of your own alive with a tree of supervisors.

A till keeps what was sold in a database, on a thread of its own; a counter sums it up. They belong
together: when the till crashes, its supervisor ends the counter and starts both anew, in order.
Jobs come and go under a supervisor for that.

    python examples/supervision_tree.py
"""

from __future__ import annotations

import logging
import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType

import trio

from brama.actors import (
    Actor,
    ActorSystem,
    BlockingActor,
    ChildSpec,
    DynamicSupervisor,
    InlineActor,
    Supervisor,
    start_child,
)
from brama.actors.testing import settle_blocking


class Till(BlockingActor):
    """Writes sales into a file; it may block, as it has a thread to itself."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_start(self) -> None:
        self.db = sqlite3.connect(self.path)
        self.db.execute("CREATE TABLE IF NOT EXISTS sale (price INTEGER)")

    def on_receive(self, message: object) -> list[int]:
        if message == "all":
            return [price for (price,) in self.db.execute("SELECT price FROM sale")]
        if not isinstance(message, int):
            raise TypeError(f"a price is a whole number, not {message!r}")  # and the till crashes
        with self.db:
            self.db.execute("INSERT INTO sale VALUES (?)", (message,))
        return []

    def on_stop(self) -> None:
        self.db.close()

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.db.close()


class Counter(InlineActor):
    """Sums up, in memory; it never waits, so it needs neither thread nor task."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def on_receive(self, message: object) -> int:
        if isinstance(message, int):
            self.total += message
        return self.total


class Shop(Supervisor):
    """The till, and the counter that depends on it."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            [
                ChildSpec("till", Till, args=(path,), name="till"),
                ChildSpec("counter", Counter, name="counter"),
            ],
            strategy="rest_for_one",
        )


class Delivery(Actor):
    """A job that waits, as a task."""

    async def on_receive(self, message: object) -> str:
        await trio.sleep(0.01)
        return f"delivered {message}"


def main() -> None:
    logging.getLogger("pykka").setLevel(logging.CRITICAL)  # the crash below is meant
    with tempfile.TemporaryDirectory() as folder:
        children = [
            ChildSpec("shop", Shop, args=(Path(folder) / "sales.sqlite",)),
            ChildSpec("jobs", DynamicSupervisor, name="jobs"),
        ]
        with ActorSystem("market", children=children) as system:
            till, counter = system.names.via("till"), system.names.via("counter")
            for price in (3, 4):
                till.call(price)
                counter.tell(price)
            print("sold:", till.call("all"), "sum:", counter.call("?"))

            till.tell("a lot")  # nobody waits for the answer, so the error ends the actor
            settle_blocking(system)
            print("after the crash:", till.call("all"), "sum:", counter.call("?"))

            jobs = system.names.via("jobs")
            job = start_child(jobs, ChildSpec("job 1", Delivery, restart="temporary"))
            print(job.get(timeout=5).call("tea"))
            print(system.tree())


if __name__ == "__main__":
    main()
