"""Actors under supervision: OTP's rules, pykka's API, trio's loop.

An actor is an object that handles one message at a time. Others hold a *ref* to it and ``tell`` it
things, or ``ask`` and get a future. A *supervisor* starts actors in order, replaces those that
crash, gives up when it happens too often, and ends them in reverse:

    >>> from brama.actors import ActorSystem, ChildSpec, InlineActor
    >>> class Counter(InlineActor):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.seen = 0
    ...     def on_receive(self, message):
    ...         self.seen += 1
    ...         return self.seen
    >>> with ActorSystem("demo", children=[ChildSpec("counter", Counter, name="counter")]) as demo:
    ...     counter = demo.names.via("counter")
    ...     counter.tell("one")
    ...     counter.ask("two", timeout=5)
    2

Three kinds of actors, by the base class: `InlineActor` (plain hooks that never block: an object,
neither task nor thread), `Actor` (``async def`` hooks on trio), `BlockingActor` (plain hooks on a
thread). All have pykka's API (``Cls.start``, ``tell``, ``ask``, ``proxy``, ``stop``, the hooks) and
ours: ``after`` and ``every`` for timers, ``monitor`` for the end of others, ``exit`` for their own.

An `ActorSystem` owns a loop, a tree and names. It starts on first use, on a daemon thread of its
own or, with ``await system.run()``, on a trio loop that is there already.
"""

from __future__ import annotations

from .actor import Actor, HostedActor, InlineActor
from .backoff import Backoff
from .blocking import BlockingActor
from .children import ChildInfo, ChildSpec
from .dead_letters import DeadLetter, DeadLetterReason, DeadLetters
from .default import default_actor_system
from .duplicates import DuplicateRegistry
from .dynamic import DynamicSupervisor
from .errors import (
    ActorDeadError,
    ActorError,
    ActorStartError,
    CallTimeoutError,
    ChildError,
    ChildExistsError,
    ChildLimitError,
    ChildNotFoundError,
    ChildRestartingError,
    ChildRunningError,
    HostError,
    Ignore,
    MailboxFullError,
    NameNotFoundError,
    NameTakenError,
    SystemStoppedError,
    WouldBlockError,
)
from .exits import Crash, ExitReason, Killed, NoProc, Normal, Shutdown
from .future import Future
from .health import Health, StopReport
from .host import Host
from .introspection import ActorInfo, TimerInfo
from .lending import lend
from .links import ExitSignal
from .monitors import Down, Monitor
from .names import Names
from .outside import kill, send_after, send_exit, send_interval, watch
from .overflow import MailboxPolicy
from .present import present_actor
from .process import reset_after_fork
from .ref import ActorRef
from .registry import Entry, Registered, Registry, Unregistered
from .replies import Reply
from .stalls import LoopLag, Stall
from .statistics import MailboxStatistics
from .status import Status
from .strategy import AutoShutdown, Restart, Strategy
from .supervise import (
    ChildCounts,
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from .supervisor import Supervisor
from .system import ActorSystem
from .timers import Timer
from .tree import Budget, TreeNode
from .via import Via

__all__ = [
    "Actor",
    "ActorDeadError",
    "ActorError",
    "ActorInfo",
    "ActorRef",
    "ActorStartError",
    "ActorSystem",
    "AutoShutdown",
    "Backoff",
    "BlockingActor",
    "Budget",
    "CallTimeoutError",
    "ChildCounts",
    "ChildError",
    "ChildExistsError",
    "ChildInfo",
    "ChildLimitError",
    "ChildNotFoundError",
    "ChildRestartingError",
    "ChildRunningError",
    "ChildSpec",
    "Crash",
    "DeadLetter",
    "DeadLetterReason",
    "DeadLetters",
    "Down",
    "DuplicateRegistry",
    "DynamicSupervisor",
    "Entry",
    "ExitReason",
    "ExitSignal",
    "Future",
    "Health",
    "Host",
    "HostError",
    "HostedActor",
    "Ignore",
    "InlineActor",
    "Killed",
    "LoopLag",
    "MailboxFullError",
    "MailboxPolicy",
    "MailboxStatistics",
    "Monitor",
    "NameNotFoundError",
    "NameTakenError",
    "Names",
    "NoProc",
    "Normal",
    "Registered",
    "Registry",
    "Reply",
    "Restart",
    "Shutdown",
    "Stall",
    "Status",
    "StopReport",
    "Strategy",
    "Supervisor",
    "SystemStoppedError",
    "Timer",
    "TimerInfo",
    "TreeNode",
    "Unregistered",
    "Via",
    "WouldBlockError",
    "count_children",
    "default_actor_system",
    "delete_child",
    "get_childspec",
    "kill",
    "lend",
    "present_actor",
    "reset_after_fork",
    "restart_child",
    "send_after",
    "send_exit",
    "send_interval",
    "start_child",
    "terminate_child",
    "watch",
    "which_children",
]
