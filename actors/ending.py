"""How a supervisor ends children: asked, given their time, and then not asked any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio
from attrs import frozen

from .cell import DEAD, Cell
from .exits import ExitReason, Killed, Shutdown
from .host import Host

__all__ = ["GRACE", "Ending", "end_together", "leftover"]

# Seconds that a killed task has to unwind before it is given up and reported.
GRACE = 1.0

# Orders to end in one go, before the rest of the loop gets its turn.
_SLICE = 256


@frozen
class Ending:
    """How one child has ended."""

    reason: ExitReason | None
    """None: it had ended before it was told, or has not ended to this moment."""
    late: bool = False
    """Whether its time had run out."""
    leftover: str | None = None
    """The thread or the task that goes on all the same, because it cannot be stopped."""


def leftover(cell: Cell) -> str | None:
    """What of an actor that was killed goes on all the same."""
    return cell.busy_thread or cell.busy_task


async def end_together(host: Host, deadlines: Mapping[Cell, float]) -> dict[Cell, Ending]:
    """Tell all the cells to end at the same moment, and wait for it.

    Args:
        deadlines: the seconds each of them has. With 0 it is killed at once; with ``inf`` it is
            waited for as long as it takes.

    One wait per distinct deadline, however many cells. What does not unwind within `GRACE` after
    it was killed is left behind; to everybody else it is dead.

    Failure: cancelled, it leaves them told to end and not killed; that is the caller's business.

    Source: OTP ``supervisor``, *shutdown*; Elixir ``DynamicSupervisor``, which ends its children
    concurrently.
    """
    endings: dict[Cell, Ending] = {}
    killed: set[Cell] = set()
    wait = _Wait(host)
    for number, (cell, deadline) in enumerate(deadlines.items()):
        if not wait.watch(cell):
            endings[cell] = Ending(None)
        elif deadline > 0:
            cell.request_exit(Shutdown())
        else:
            killed.add(cell)
            cell.kill(Killed("brutal kill"))
        if number % _SLICE == _SLICE - 1:
            await trio.lowlevel.checkpoint()
    began = trio.current_time()
    for deadline in sorted({deadlines[cell] for cell in wait.pending}):
        await wait.until(began + deadline)
        late = [cell for cell in wait.pending if deadlines[cell] <= deadline]
        for cell in late:
            killed.add(cell)
            cell.kill(Killed("did not end in time"))
        if not wait.pending:
            break
    await wait.until(trio.current_time() + GRACE)
    for cell in killed:
        if cell.state is not DEAD:  # who watches it has waited long enough
            cell.give_up()
    for cell, deadline in deadlines.items():
        if cell not in endings:
            endings[cell] = Ending(
                wait.reasons.get(cell),
                late=cell in killed and deadline > 0,
                # Only of the killed: a thread that ends in good order may still be on its way out.
                leftover=leftover(cell) if cell in killed else None,
            )
    wait.close()
    return endings


class _Wait:
    """For the end of several cells, which may come from other threads."""

    def __init__(self, host: Host) -> None:
        self._host = host
        # In the order given, for the sake of the log.
        self.pending: dict[Cell, Callable[[ExitReason], None]] = {}
        self.reasons: dict[Cell, ExitReason] = {}
        self._all_gone = trio.Event()

    def watch(self, cell: Cell) -> bool:
        def ended(reason: ExitReason) -> None:
            if self._host.on_loop_thread():
                self._gone(cell, reason)
            else:
                self._host.call_soon(self._gone, cell, reason)

        self.pending[cell] = ended
        if cell.watch(ended):
            return True
        del self.pending[cell]
        return False

    def _gone(self, cell: Cell, reason: ExitReason) -> None:
        self.reasons[cell] = reason
        self.pending.pop(cell, None)
        if not self.pending:
            self._all_gone.set()

    async def until(self, at: float) -> None:
        """Wait for all of them, at most until ``at``."""
        # Made anew: while they were told one by one, those told so far may all have ended.
        self._all_gone = trio.Event()
        if self.pending:
            with trio.move_on_at(at):
                await self._all_gone.wait()

    def close(self) -> None:
        for cell, ended in self.pending.items():
            cell.unwatch(ended)
