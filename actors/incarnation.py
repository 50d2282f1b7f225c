"""One start of one child: construct it, name it, launch it, and wait for its acknowledgement."""

from __future__ import annotations

from typing import Any

import trio

from .actor import make
from .cell import NEW, Cell
from .child import RUNNING, STARTING, STOPPED, Child
from .children import ChildSpec
from .ending import Ending, end_together
from .errors import ActorStartError, Ignore
from .exits import Killed
from .host import Host
from .occasions import Acknowledgement
from .strategy import Restart

__all__ = ["StartTimeoutError", "incarnate"]


class StartTimeoutError(ActorStartError):
    """The `on_start` of a child took too long; ``ending`` says what became of it."""

    ending: Ending
    cell: Cell


async def incarnate(host: Host, child: Child, arguments: tuple[Any, ...]) -> Any:
    """Start an incarnation of ``child``; returns its ref once its `on_start` has run.

    Returns None when it raised `Ignore`. Otherwise than by success, the child is stopped.

    Raises:
        ActorStartError: its constructor or its `on_start` raised, whatever that was, or took too
            long.

    Failure: cancelled, it leaves the cell in ``child.cell``; that is the caller's business.
    """
    spec = child.spec
    child.status = STARTING
    child.reason = None
    try:
        cell = _construct(host, spec, arguments)
    except Ignore:
        child.status = STOPPED
        return None
    except ActorStartError:
        child.status = STOPPED
        raise
    ref = cell.ref
    child.cell = cell
    cell.owner = child
    start = Acknowledgement(host)
    try:
        cell.launch(start)
    except Exception as error:
        child.cell, child.status = None, STOPPED
        cell.abandon("it could not be launched")
        raise ActorStartError(spec.id, f"it could not be launched: {error!r}") from error
    if not start.done:
        with trio.move_on_after(spec.start_timeout):
            await start.wait()
    if not start.done:
        cell.kill(Killed("start timeout"))
        late = StartTimeoutError(spec.id, f"its on_start took more than {spec.start_timeout} s")
        late.cell = cell
        late.ending = (await end_together(host, {cell: 0.0}))[cell]
        child.cell, child.status = None, STOPPED
        raise late
    if start.error is not None:
        child.cell, child.status = None, STOPPED
        if isinstance(start.error, Ignore):
            return None
        raise ActorStartError(spec.id, f"its on_start failed with {start.error!r}") from start.error
    child.status = RUNNING
    child.since = trio.current_time()
    if spec.restart is Restart.TEMPORARY:
        child.spec = spec.without_arguments()  # it is never started again
    return ref


def _construct(host: Host, spec: ChildSpec, arguments: tuple[Any, ...]) -> Cell:
    try:
        cell: Cell = make(host, spec.start, arguments, spec.kwargs, spec.mailbox)
    except (Ignore, trio.Cancelled):
        raise
    # Whatever it is, SystemExit included: a constructor must not take its supervisor down.
    except BaseException as error:
        raise ActorStartError(spec.id, f"its constructor failed with {error!r}") from error
    if cell.state is not NEW:
        raise ActorStartError(
            spec.id, "its constructor returned an actor that had been started already"
        )
    if spec.name is not None:
        try:
            host.names.register(spec.name, cell.ref)
        except Exception as error:
            raise ActorStartError(spec.id, f"it got no name: {error}") from error
    return cell
