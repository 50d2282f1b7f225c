"""Everything about one actor at this moment, as a frozen snapshot."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Hashable, Iterable, Mapping
from time import perf_counter
from types import FrameType
from typing import Any, TypeVar

from attrs import frozen

from .blocking import BlockingCell
from .cell import Cell
from .child import Child
from .mailbox import unwrapped
from .monitors import Monitor
from .parent import Parent
from .ref import ActorRef
from .statistics import MailboxStatistics
from .status import state_text
from .tasks import TaskCell
from .timers import Timer, timers_of
from .turns import PlainCell
from .whose import Running, running_in

__all__ = ["ActorInfo", "TimerInfo", "inspect_cell"]

T = TypeVar("T")

# Frames of a live stack, the innermost.
_FRAMES = 30


@frozen
class TimerInfo:
    """A timer of an actor."""

    key: Hashable
    """None for one without."""
    due_in: float
    """Seconds, by the clock of the loop."""
    interval: float | None
    """Seconds between the beats of one that repeats."""
    message_type: str


@frozen
class ActorInfo:
    """One actor, by ``system.inspect(ref)``.

    It is read from outside and without stopping anything: each figure is right, but they need not
    be of the same instant. Nothing in it is alive but the refs.

    Source: Erlang ``process_info/1`` and the process page of *observer*.
    """

    ref: ActorRef[Any]
    actor_class: str
    kind: str
    """``async``, ``inline`` or ``blocking``."""
    status: str
    """``new``, ``starting``, ``running``, ``stopping`` or ``dead``."""
    system: str
    names: tuple[Hashable, ...]
    """Under which it is found in ``system.names``."""
    supervisor: ActorRef[Any] | None
    id: Hashable | None
    """Of its child spec, if it is supervised."""
    restarts: int
    """How often its supervisor has replaced it so far."""
    last_exit: str | None
    """Why the incarnation before this one has ended."""
    uptime: float | None
    """Seconds that this incarnation lives; None before its start and after its end."""
    mailbox: MailboxStatistics
    """Length, peak, age of the oldest message, handled, busy time and what was dropped."""
    hook: str | None
    """What it is doing: ``on_start``, ``on_receive``, ``on_stop`` or ``on_failure``."""
    message_type: str | None
    """The class of the message that it is handling. Never its content."""
    links: tuple[ActorRef[Any], ...]
    monitors: tuple[ActorRef[Any], ...]
    """Whom it watches."""
    monitored_by: tuple[ActorRef[Any], ...]
    """Who watches it; supervisors and plain code not among them."""
    timers: tuple[TimerInfo, ...]
    children: int
    """Of a supervisor."""
    stack: tuple[str, ...] = ()
    """Where it is, innermost last; when that was asked for, and it is doing something."""
    state: Mapping[str, str] | None = None
    """Its attributes as text, by way of its `format_status`; when that was asked for."""

    def __str__(self) -> str:
        mail = self.mailbox
        lines = [
            f"{self.ref}",
            f"  {self.kind}, {self.status}"
            + (f" for {self.uptime:.1f} s" if self.uptime is not None else ""),
            f"  mailbox {mail.length} (peak {mail.peak}), handled {mail.handled}, "
            f"busy {mail.busy:.3f} s",
        ]
        if self.names:
            lines.append(f"  names {', '.join(map(repr, self.names))}")
        if self.supervisor is not None:
            lines.append(f"  child {self.id!r} of {self.supervisor}, restarts {self.restarts}")
        if self.last_exit:
            lines.append(f"  last exit {self.last_exit}")
        if self.hook:
            lines.append(f"  in {self.hook}({self.message_type or ''})")
        for title in ("links", "monitors", "monitored_by"):
            refs: tuple[ActorRef[Any], ...] = getattr(self, title)
            if refs:
                lines.append(f"  {title.replace('_', ' ')} {', '.join(map(str, refs))}")
        for timer in self.timers:
            beat = f", every {timer.interval:g} s" if timer.interval else ""
            lines.append(f"  timer {timer.message_type} in {timer.due_in:.1f} s{beat}")
        for name, text in (self.state or {}).items():
            lines.append(f"  .{name} = {text}")
        lines += [f"  {line}" for line in self.stack]
        return "\n".join(lines)


def inspect_cell(cell: Cell, loop_thread: int | None, *, stack: bool, state: bool) -> ActorInfo:
    """The snapshot of one actor.

    Args:
        loop_thread: the ident of the thread that runs the loop.
        stack, state: whether to add what is costly, or nobody else's business.

    Threads: any; no hop.
    """
    actor = cell.actor
    child = cell.owner if isinstance(cell.owner, Child) else None
    running, frames = _activity(cell, loop_thread)
    return ActorInfo(
        ref=cell.ref,
        actor_class=cell.ref.actor_class.__qualname__,
        kind=cell.kind,
        status=cell.state,
        system=cell.host.name,
        names=cell.names,
        supervisor=None if child is None else child.parent.ref,
        id=None if child is None else child.spec.id,
        restarts=0 if child is None else child.restarts,
        last_exit=None if child is None else child.last_exit,
        uptime=perf_counter() - cell.born if cell.born and not cell.ended else None,
        mailbox=cell.statistics(),
        hook=None if running is None else running.hook,
        message_type=_message_type(running),
        links=tuple(peer.ref for peer in _copy(cell.links)),
        monitors=tuple(monitor.ref for monitor in _copy(cell.monitors)),
        monitored_by=tuple(
            watcher.watcher.ref for watcher in _copy(cell.watchers) if isinstance(watcher, Monitor)
        ),
        timers=tuple(_timer(timer, cell.host.now()) for timer in timers_of(cell)),
        children=len(actor._children) if isinstance(actor, Parent) else 0,
        stack=_lines(frames) if stack else (),
        state=(state_text(type(actor), dict(vars(actor))) if state and actor is not None else None),
    )


def _copy(shared: Iterable[T] | None) -> list[T]:
    """What another thread may be changing right now."""
    while shared:
        try:
            return list(shared)
        except RuntimeError:  # changed while it was copied
            continue
    return []


def _timer(timer: Timer, now: float) -> TimerInfo:
    return TimerInfo(
        key=None if timer.key is timer else timer.key,
        due_in=max(0.0, timer.due - now),
        interval=timer.interval,
        message_type=type(timer.message).__name__,
    )


def _message_type(running: Running | None) -> str | None:
    if running is None or running.item is None:
        return None
    return type(unwrapped(running.item)).__name__


Frames = list[tuple[FrameType, int]]


def _activity(cell: Cell, loop_thread: int | None) -> tuple[Running | None, Frames]:
    """The hook that runs, and the frames of its stack, outermost first."""
    if isinstance(cell, TaskCell):
        frames = _awaiting(cell)
    elif isinstance(cell, PlainCell) and cell.executing:
        if isinstance(cell, BlockingCell):
            ident = cell.thread.ident if cell.thread is not None else None
        else:
            ident = loop_thread
        frames = _of_thread(ident)
    else:
        return None, []
    for frame, _line in reversed(frames):
        running = running_in(frame)
        if running is not None and running.cell is cell:
            return running, frames
    return None, frames


def _awaiting(cell: TaskCell) -> Frames:
    task: Any = cell.task
    if task is None:
        return []
    try:
        # From outside its loop the task may go on meanwhile; what is found then is stale at worst.
        return list(task.iter_await_frames())
    except Exception:  # noqa: BLE001  (a stack that changes while it is read has no text)
        return []


def _of_thread(ident: int | None) -> Frames:
    frame = sys._current_frames().get(ident) if ident is not None else None
    return [] if frame is None else list(traceback.walk_stack(frame))[::-1]


def _lines(frames: Frames) -> tuple[str, ...]:
    summary = traceback.StackSummary.extract(iter(frames[-_FRAMES:]))
    return tuple(line for entry in summary.format() for line in entry.rstrip().splitlines())
