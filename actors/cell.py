"""The runtime side of one actor: its mailbox, its state, and how it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from contextvars import Context
from time import perf_counter
from types import CoroutineType
from typing import Any, ClassVar, Protocol

import pykka
from attrs import frozen
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from brama.telemetry import ConfigError

from .dead_letters import DeadLetterReason
from .errors import ActorDeadError, MailboxFullError
from .exits import Crash, ExitReason, Killed, NoProc, Normal
from .host import Host
from .latch import Latch, latch_of, release
from .links import ExitSignal, join, part, propagate, receives
from .mailbox import Ask, Carried, Mailbox, unwrapped
from .monitors import Down, Monitor
from .occurrences import announce_end, announce_start
from .timers import Timer, void_timers
from .via import Via

__all__ = ["SPECIAL", "Ack", "Cell", "Exit", "Signal", "cell_of"]

logger = logging.getLogger("pykka")  # pykka's texts come from pykka's logger, whoever writes them

NEW = "new"
STARTING = "starting"
RUNNING = "running"
STOPPING = "stopping"
DEAD = "dead"
ORPHAN = "orphan"

Ack = Callable[[BaseException | None], None]


@frozen
class Exit:
    """An order to end: in the user lane behind the queued messages, in the control lane before."""

    reason: ExitReason


# Everything in a mailbox that is not simply handed to `on_receive`. A set of exact types, because
# the test runs for each message.
SPECIAL = frozenset({Ask, Carried, Exit, Down, _ActorStop, ProxyCall, ProxyGetAttr, ProxySetAttr})


class Registrar(Protocol):
    """A registry, as far as it concerns those who are registered there."""

    def release(self, key: Hashable, ref: Any) -> None: ...


class Signal:
    """Base of the messages that the runtime sends to itself."""

    __slots__ = ()


# What the runtime sends: no bounded mailbox counts it, and unread at the end it is no dead letter.
_OURS = (Exit, Down, ExitSignal, Signal, _ActorStop)


class Cell(Mailbox):
    """One incarnation of one actor.

    The states: new → starting → running → stopping → dead; orphan in the child of a fork.

    Subclasses say how messages are handled (`turn`): inline on the loop, in a trio task, or on a
    thread.

    Threads: `turn`, `kill` and whatever they call run in the actor's own place; the rest says
    where.
    """

    __slots__ = (
        "__weakref__",
        "_latch",
        "ack",
        "actor",
        "asking",
        "born",
        "by_stop",
        "context",
        "continuing",
        "exiting",
        "host",
        "killed",
        "links",
        "entries",
        "epitaph",
        "monitors",
        "owed",
        "owner",
        "ref",
        "registered",
        "state",
        "stops",
        "timers",
        "watchers",
    )

    kind: ClassVar[str] = "?"
    # What to do about a coroutine that a hook has returned.
    _mend: ClassVar[str] = "make it a plain function, or derive from Actor"

    def __init__(self, actor: Any, host: Host) -> None:
        super().__init__(host.scheduler.schedule)
        self.actor: Any = actor  # None once it has ended
        self.host = host
        # When it was launched, by ``time.perf_counter()``.
        self.born = 0.0
        # The actor's own context variables. None until one of its hooks sets one.
        self.context: Context | None = None
        # What waits for the end, once somebody has asked for it.
        self._latch: Latch | None = None
        self.state = NEW
        # True for actors in pykka's registry: those that a user started with `Cls.start()`, and
        # those whose class asks for it.
        self.registered = False
        # The request that is being answered right now, so that it can be failed if the actor ends
        # meanwhile.
        self.asking: Any = None
        # Requests to be answered later than in their handler. Invariant: changes only under _lock.
        self.owed: set[Any] | None = None
        # Requests to stop, answered at the very end. Invariant: changes only under _lock.
        self.stops: list[Any] | None = None
        # What to handle next, before any mail. Invariant: changes only under _lock.
        self.continuing: tuple[Any, ...] = ()
        self.exiting: ExitReason | None = None
        self.killed: ExitReason | None = None
        # Stopped through `ref.stop()`: for a supervisor that is terminate_child, not an exit to
        # repair.
        self.by_stop = False
        # Whoever answers for this actor; called once with (cell, reason), from any thread, must not
        # raise.
        self.owner: Callable[[Cell, ExitReason], None] | None = None
        self.ack: Ack | None = None
        self.ref: Any = None
        # Why it ended; of a crash only the class of the error, which would keep its frames alive.
        self.epitaph: ExitReason | type[BaseException] | None = None
        # Invariant: links, watchers, monitors, timers and entries change only under _lock, and not
        # any more once the state is DEAD.
        self.links: dict[Cell, None] | None = None
        self.watchers: dict[Callable[[ExitReason], None], None] | None = None
        # Where it is registered, to be taken out of there at its end: (registry, key).
        self.entries: dict[tuple[Registrar, Hashable], None] | None = None
        self.monitors: set[Monitor] | None = None
        # One alone, or several by key; see `set_timer`.
        self.timers: Timer | dict[Hashable, Timer] | None = None

    # -- life, implemented by the kinds
    # --------------------------------------------------------------

    def launch(self, ack: Ack | None = None) -> None:
        """Begin to live; ``ack(error or None)`` is called once `on_start` has run."""
        self.ack = ack
        actor = self.actor
        if actor is None:  # killed before it lived
            self._acknowledge(self._stillborn())
            return
        self.born = perf_counter()
        self.host.cells[self] = None
        if actor.in_actor_registry and not self.registered:
            self.registered = True
            pykka.ActorRegistry.register(self.ref)
        starts = self.has_on_start()
        with self._lock:
            killed = self.state is not NEW
            if not killed:
                self.state = STARTING if starts else RUNNING
        if killed:
            # Meanwhile, by another thread, which has looked into `cells` before it was in there.
            self.host.cells.pop(self, None)
            if self.registered:
                pykka.ActorRegistry.unregister(self.ref)
            self._acknowledge(self._stillborn())
            return
        if starts:
            self._call_on_start()
        else:
            if self.length or self._attention:  # its constructor wrote to itself
                self._rouse()
            self._acknowledge(None)
        # It entered `cells` first and looks here second; a system that ends does it the other way
        # round. So one of the two sees the other, and nobody lives on in a system without a loop.
        if self.host.deserted:
            self.abandon("the system has stopped")

    def _started(self) -> bool:
        """From starting to running; False when it was killed meanwhile."""
        with self._lock:
            if self.state is not STARTING:
                return False
            self.state = RUNNING
            return True

    def _stillborn(self) -> ActorDeadError:
        return ActorDeadError(f"{self.ref} ended before it had started: {self.epitaph}")

    def has_on_start(self) -> bool:
        """Whether the class has an `on_start` of its own; without, a start needs no scheduling."""
        raise NotImplementedError

    def _call_on_start(self) -> None:
        with self._lock:
            if self._user is None:
                self._user = []
                self._since = perf_counter()
        self._rouse()

    def turn(self) -> bool:
        """Handle some mail; True when there is more."""
        raise NotImplementedError

    def kill(self, reason: ExitReason) -> None:
        """End now, without hooks; on the loop thread. What runs is cancelled if it can be."""
        raise NotImplementedError

    @property
    def busy_thread(self) -> str | None:
        """The name of a thread that still runs a hook and cannot be stopped."""
        return None

    @property
    def busy_task(self) -> str | None:
        """The name of a task that still runs a hook, whatever has become of the actor."""
        return None

    def give_up(self) -> None:
        """End, for everybody else, what was killed and goes on all the same. On the loop thread."""

    # -- ending
    # ---------------------------------------------------------------------------------------

    def request_exit(self, reason: ExitReason) -> None:
        """Ask it to end for ``reason``, after the messages that are queued. Any thread.

        A supervisor does not finish its mail first: what is queued there are requests to start
        more.
        """
        actor = self.actor
        if actor is not None and actor.supervises:
            self.send_control(Exit(reason))
        else:
            self.send(Exit(reason))

    def _acknowledge(self, error: BaseException | None) -> None:
        if error is None:
            announce_start(self)
        ack, self.ack = self.ack, None
        if ack is not None:
            ack(error)

    def _retire(self) -> None:
        """Refuse mail from now on and answer what is left, except for requests to stop."""
        with self._lock:
            # A blocking actor may be killed from the loop while its own thread ends it.
            if self.state not in (DEAD, ORPHAN):
                self.state = STOPPING
        left = self.close()
        if self.registered:
            pykka.ActorRegistry.unregister(self.ref)
        release(self)
        asking, self.asking = self.asking, None
        if asking is not None:
            asking.fail(ActorDeadError(f"{self.ref} ended while handling the message"))
        with self._lock:
            owed, self.owed = self.owed, None
            left[:0], self.continuing = self.continuing, ()
        for future in owed or ():
            future.fail(ActorDeadError(f"{self.ref} ended and owed the reply"))
        unread: list[Any] = []
        for item in left:
            if item.__class__ is Ask:
                if item.message.__class__ is _ActorStop:
                    self.keep_waiting(item.future)
                else:
                    item.future.fail(
                        ActorDeadError(f"{self.ref} stopped before handling the message")
                    )
            elif self.counts(item):
                unread.append(item)
        if unread:
            self.host.dead_letters.record_all(self.ref, unread, DeadLetterReason.STOPPED)

    def keep_waiting(self, stop: Any) -> None:
        """Answer this request to stop at the end, whoever brings that about. Any thread."""
        with self._lock:
            if self.stops is None:
                self.stops = []
            self.stops.append(stop)

    def _answer_stops(self) -> None:
        with self._lock:
            stops, self.stops = self.stops, None
        for stop in stops or ():
            stop.resolve(None)

    # -- mail that is not handled
    # -------------------------------------------------------------------------

    def counts(self, item: Any) -> bool:
        """Whether ``item`` is somebody's mail and not what the runtime itself sends."""
        return not isinstance(unwrapped(item), _OURS)

    def undelivered(self, item: Any, *, evicted: bool) -> None:
        """A full mailbox has refused ``item``, or given it up for another. Any thread."""
        if item.__class__ is Ask:
            item.future.fail(
                MailboxFullError(
                    f"the mailbox of {self.ref} is full ({self.limit} messages) and has dropped "
                    "the request"
                )
            )
            return
        reason = DeadLetterReason.EVICTED if evicted else DeadLetterReason.MAILBOX_FULL
        self.host.dead_letters.record(self.ref, item, reason)

    def reply(self, future: Any, result: Any) -> None:
        """Answer a request; an answer that comes too late is a dead letter."""
        if not future.resolve(result) and future.abandoned:
            self.host.dead_letters.record(self.ref, result, DeadLetterReason.LATE_REPLY)

    def reply_error(self, future: Any, error: BaseException) -> None:
        """Answer a request with an error."""
        if not future.fail(error) and future.abandoned:
            self.host.dead_letters.record(self.ref, error, DeadLetterReason.LATE_REPLY)

    def defer(self) -> Any:
        """Take the request that is being handled off its handler; returns its future, or None."""
        future, self.asking = self.asking, None
        if future is None:
            return None
        with self._lock:
            if not self.closed:
                if self.owed is None:
                    self.owed = set()
                self.owed.add(future)
                return future
        # Killed from another thread, which has failed what was owed before this.
        future.fail(ActorDeadError(f"{self.ref} ended and owed the reply"))
        return None

    def go_on_with(self, message: Any) -> None:
        """Handle ``message`` before any mail."""
        with self._lock:
            if not self.closed:
                self.continuing += (message,)
        self.look_up()

    def next_thing(self) -> tuple[Any, ...]:
        """What is to be handled before any mail: a tuple of one, or nothing."""
        with self._lock:
            first, self.continuing = self.continuing[:1], self.continuing[1:]
            if self.continuing:
                self._attention = True
        return first

    def look_up(self) -> None:
        """See to what was set beside the mail, also while at rest. Any thread."""
        if self.state is NEW:
            self._attention = True  # `launch` looks at it
        else:
            self.nudge()

    def pay(self, future: Any) -> bool:
        """Whether the deferred reply is still owed; it is not from now on. Any thread."""
        with self._lock:
            if self.owed is None or future not in self.owed:
                return False
            self.owed.discard(future)
            return True

    def runs_here(self) -> bool:
        """Whether the caller is on the thread that runs this actor. Any thread."""
        return self.host.on_loop_thread()

    def works_here(self) -> bool:
        """Whether the caller is a handler of this very actor, in the midst of an await."""
        return False

    def _finish(self, reason: ExitReason) -> None:
        """The last step of every ending: tell everybody who has to know. Never raises."""
        with self._lock:
            over = self.state is DEAD
            if not over:
                self.state = DEAD
                self.epitaph = type(reason.error) if isinstance(reason, Crash) else reason
        if over:
            self._answer_stops()  # another thread was quicker, and some came after that
            return
        with self._lock:  # what changes only while the state is not DEAD cannot change any more
            watchers, self.watchers = self.watchers, None
            entries, self.entries = self.entries, None
            links, self.links = self.links, None
            monitors = list(self.monitors or ())
            timers, self.timers = self.timers, None
        self.host.cells.pop(self, None)
        announce_end(self, entries, reason)
        void_timers(self, timers)
        for monitor in monitors:
            monitor.cancel()
        for registry, key in entries or ():
            registry.release(key, self.ref)
        self._release_actor()
        owner, self.owner = self.owner, None
        if owner is not None:
            owner(self, reason)
        for watcher in watchers or ():
            watcher(reason)
        if links:
            propagate(self, links, reason)
        self._acknowledge(ActorDeadError(f"{self.ref} ended before it had started: {reason}"))
        self._answer_stops()

    def _release_actor(self) -> None:
        # Refs may live on for long; what the actor holds must not.
        actor, self.actor = self.actor, None
        actor._on_exited()

    def abandon(self, why: str) -> None:
        """End without hooks because the loop is gone. Any thread, when nothing of it runs."""
        if self.state not in (DEAD, ORPHAN):
            self._retire()
            self._finish(Killed(why))

    def orphan(self) -> None:
        """In the child of a fork: be dead at once; the parent's threads may have held the lock."""
        self._lock = threading.Lock()
        left = self.close()
        self.state = ORPHAN
        release(self)
        asks = [item.future for item in left if item.__class__ is Ask]
        asks += self.owed or ()
        asks += self.stops or ()
        if self.asking is not None:
            asks.append(self.asking)
        for future in asks:
            future.fail(ActorDeadError(self.obituary(self.ref)))
        self.actor = self.owner = self.watchers = self.timers = self.monitors = None
        self.links = self.entries = None

    def obituary(self, ref: object) -> str:
        """Why a message cannot be delivered."""
        if self.state is ORPHAN:
            return (
                f"{ref} was created before os.fork() and lives in the parent process only: "
                "start actors in the child, or look them up by name there"
            )
        return f"{ref} not found"

    def swallow(self, ref: object, message: Any) -> bool:
        """Whether a message to this dead actor is dropped and counted instead of raised about."""
        if not self.host.finished:
            return False
        # The interpreter is exiting; nothing is gained by an error in some daemon thread's last
        # moments.
        self.host.dead_letters.record(ref, message, DeadLetterReason.EXITING)
        return True

    # -- faults
    # --------------------------------------------------------------------------------------

    def report(self, error: BaseException) -> None:
        """Log an exception that no caller is waiting for, in pykka's words."""
        if self.actor is not None and self.actor._has_told_of(error):
            return
        logger.error(
            "Unhandled exception in %s:",
            self.actor,
            exc_info=(type(error), error, error.__traceback__),
        )

    def _log_stopped(self) -> None:
        logger.debug("Stopped %s", self.actor)

    def report_to_caller(self, error: BaseException) -> None:
        logger.info(
            "Exception returned from %s to caller:",
            self.actor,
            exc_info=(type(error), error, error.__traceback__),
        )

    def stop_everything(self, error: BaseException) -> bool:
        """pykka's answer to a BaseException in an actor it knows: stop all. False for others."""
        if not self.registered or self.owner is not None:
            return False
        logger.debug("%r in %s. Stopping all actors.", error, self.actor)
        return True

    def unawaited(self, result: Any) -> None:
        """Refuse a coroutine that came out of a plain hook or method: nobody would ever run it."""
        if result.__class__ is CoroutineType:
            result.close()
            raise TypeError(
                f"{type(self.actor).__name__} is an actor of the kind {self.kind}, and "
                f"{result.__qualname__} is a coroutine that nobody awaits: {self._mend}"
            )

    # -- names, watchers, timers
    # ---------------------------------------------------------------------

    def enter(self, registry: Registrar, key: Hashable) -> bool:
        """Note an entry to be released at the end; False when it has ended already. Any thread."""
        with self._lock:
            if self.ended:
                return False
            if self.entries is None:
                self.entries = {}
            self.entries[registry, key] = None
            return True

    def leave(self, registry: Registrar, key: Hashable) -> None:
        """Forget the entry. Any thread."""
        with self._lock:
            if self.entries is not None:
                self.entries.pop((registry, key), None)

    def keys_in(self, registry: Registrar) -> tuple[Hashable, ...]:
        """The keys under which it stands in ``registry``. Any thread."""
        with self._lock:
            return tuple(key for where, key in self.entries or () if where is registry)

    @property
    def names(self) -> tuple[Hashable, ...]:
        """Its names in its system. Any thread."""
        return self.keys_in(self.host.names)

    def watch(self, watcher: Callable[[ExitReason], None]) -> bool:
        """Call ``watcher(reason)`` at the end; False when it has ended already. Any thread.

        The watcher is called in the thread in which the actor ends, and must not raise.
        """
        with self._lock:
            if self.state in (DEAD, ORPHAN):
                return False
            if self.watchers is None:
                self.watchers = {}
            self.watchers[watcher] = None
            return True

    def unwatch(self, watcher: Callable[[ExitReason], None]) -> None:
        with self._lock:
            if self.watchers is not None:
                self.watchers.pop(watcher, None)

    def monitor(self, ref: Any) -> Monitor:
        """Watch the actor behind ``ref`` on behalf of this one."""
        target = cell_of(ref)
        monitor = Monitor(self, target, ref)
        with self._lock:
            if self.monitors is None:
                self.monitors = set()
            self.monitors.add(monitor)
        if target is None or not target.watch(monitor):
            monitor(NoProc())
        return monitor

    @property
    def latch(self) -> Latch:
        """Set once it takes no more mail. Any thread."""
        return latch_of(self)

    @property
    def stopped(self) -> bool:
        """Whether the latch is set. Any thread."""
        latch = self._latch
        return latch is not None and latch.is_set()

    @property
    def ended(self) -> bool:
        """Whether nothing that concerns it can happen any more."""
        return self.state in (DEAD, ORPHAN)

    def link(self, ref: Any) -> None:
        """Link this actor with the one behind ``ref``."""
        peer = cell_of(ref)
        if peer is None or not join(self, peer):
            self.host.call_soon(self.take_signal, ref, NoProc(), None)

    def unlink(self, ref: Any) -> bool:
        """Undo `link`; returns whether they were linked."""
        peer = cell_of(ref)
        return peer is not None and part(self, peer)

    def take_signal(self, sender: Any, reason: ExitReason, link: Cell | None) -> None:
        """Receive an exit signal, by a link or sent by hand; on the loop thread."""
        actor = self.actor
        if actor is None or not receives(self, link):
            return
        if actor.trap_exit:
            self.send(ExitSignal(sender, reason))
        elif not isinstance(reason, Normal):
            self.kill(reason)


def cell_of(address: Any) -> Cell | None:
    """The cell behind a ref or a ``names.via(…)``; None when nobody holds the name.

    Raises:
        ConfigError: it is neither, or an actor of pykka's own.
    """
    ref = address
    if isinstance(address, Via):
        ref = address.whereis()
        if ref is None:
            return None
    cell = getattr(ref, "actor_inbox", None)
    if not isinstance(cell, Cell):
        raise ConfigError("ref", "a ref of an actor of brama.actors", address)
    return cell
