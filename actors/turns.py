"""Handling messages with plain hooks, in batches: the loop of inline and of blocking actors."""

from __future__ import annotations

import threading
from contextvars import Context
from itertools import islice
from operator import length_hint
from time import perf_counter
from typing import Any

import pykka
from pykka.messages import _ActorStop

from .bounded import Bounded
from .cell import DEAD, NEW, RUNNING, SPECIAL, STARTING, Cell, Exit
from .context import lay, lift
from .errors import Ignore
from .exits import Crash, ExitReason, Normal
from .mailbox import Ask, Carried
from .monitors import Down
from .whose import calls_hooks

__all__ = ["BoundedInlineCell", "InlineCell", "PlainCell"]

# Messages of one actor, and seconds, before it is another's turn.
_THROUGHPUT = 256
_SLICE = 0.002
# Messages before the first look at the clock.
_CHUNK = 8


# Starts within starts, of actors that start others in their `on_start`, before one has to wait for
# its turn: a chain of thousands must not become a stack as deep.
_NESTED = 16


class _Nested(threading.local):
    starts = 0


_nested = _Nested()


class PlainCell(Cell):
    """A cell whose actor has plain hooks, called one after the other wherever `turn` is called.

    Invariant: `turn` never runs twice at the same time. For inline actors the loop's one thread
    sees to it, for blocking ones their own thread.
    """

    __slots__ = ("executing",)

    def __init__(self, actor: Any, host: Any) -> None:
        super().__init__(actor, host)
        self.executing = False

    def turn(self) -> bool:
        if self.state is not RUNNING:
            if self.state is not STARTING:
                return False  # not launched yet, or over
            if not self._begin():
                return False
        self.executing = True
        try:
            return self._work()
        finally:
            self.executing = False

    @calls_hooks("on_start")
    def _begin(self) -> bool:
        self.executing = True
        try:
            self.unawaited(self.actor.on_start())
        except BaseException as error:  # noqa: BLE001  (whatever it is, it ends this actor and no more)
            self._start_failed(error)
            return False
        finally:
            self.executing = False
        if not self._started():
            return False  # killed meanwhile
        self._acknowledge(None)
        return True

    def _start_failed(self, error: BaseException) -> None:
        if self.state is DEAD:
            return
        ignored = isinstance(error, Ignore)
        if not ignored:
            self.report(error)
        self._retire()
        self._acknowledge(error)
        self._finish(Normal() if ignored else Crash(error))

    @calls_hooks("on_receive")
    def _work(self) -> bool:
        receive = self.actor.on_receive
        budget, chunk, end = _THROUGHPUT, _CHUNK, 0.0
        while True:
            while self._attention:  # again: it may kill itself while it looks up
                if not self._attend():
                    return False
            rest = self._rest
            if rest is None:
                if not self.take():
                    return False
                rest = self._rest
                if rest is None:
                    continue  # control mail only
            waiting = length_hint(rest)
            for item in islice(rest, chunk):
                if item.__class__ in SPECIAL:
                    if not self._special(item):
                        return False
                else:
                    try:
                        result = receive(item)
                        if result is not None:
                            self.unawaited(result)
                    except BaseException as error:  # noqa: BLE001  (the loop must outlive any handler)
                        if not self._failed(error, None):
                            return False
                if self._attention:
                    break
            left = length_hint(rest)
            # Across batches, or an actor that writes to itself would keep the loop for ever.
            budget -= waiting - left
            if budget <= 0:
                return True
            if not left:
                self._rest = None
                continue
            # The clock is looked at now and then only, for most batches are over before.
            now = perf_counter()
            if not end:
                end = now + _SLICE
            elif now > end:
                return True
            chunk = min(2 * chunk, budget)

    def _attend(self) -> bool:
        """Look up from the mail: control mail, `exit()`, a kill. False when that was the end."""
        control = self.take_control()
        if self.state is not RUNNING:
            return False
        if self.killed is not None:
            self._retire()
            self._finish(self.killed)
            return False
        if self.continuing and self.exiting is None:
            for item in self.next_thing():
                if not self._told(item):
                    return False
        for item in control:
            if item.__class__ is Exit:
                self._stop(item.reason)
                return False
            if not self._told(item):
                return False
        if self.exiting is not None:
            self._stop(self.exiting)
            return False
        return True

    @calls_hooks("on_receive")
    def _told(self, item: Any) -> bool:
        """Handle an item that came neither in a batch nor as a request."""
        try:
            self.unawaited(self.actor.on_receive(item))
        except BaseException as error:  # noqa: BLE001  (an exit is a value)
            return self._failed(error, None)
        return True

    @calls_hooks("on_receive")
    def _special(self, item: Any) -> bool:
        """Handle what is not simply given to `on_receive`; False when that was the end."""
        kind = item.__class__
        if kind is Ask:
            if item.context is None:
                return self._answer(item)
            laid = lay(item.context)
            try:
                return self._answer(item)
            finally:
                lift(laid)
        if kind is Carried:
            message = item.message
            laid = lay(item.context)
            try:
                if message.__class__ in SPECIAL:
                    return self._special(message)
                return self._told(message)
            finally:
                lift(laid)
        if kind is Exit:
            self._stop(item.reason)
            return False
        if kind is _ActorStop:
            self.by_stop = True
            self._stop(Normal())
            return False
        if kind is Down and not item.monitor.active:
            return True
        try:
            self.unawaited(self.actor._handle_receive(item))
        except BaseException as error:  # noqa: BLE001  (an exit is a value)
            return self._failed(error, None)
        return True

    def _answer(self, ask: Ask) -> bool:
        if ask.message.__class__ is _ActorStop:
            self.by_stop = True
            self.keep_waiting(ask.future)
            self._stop(Normal())
            return False
        self.asking = ask.future
        try:
            result = self.actor._handle_receive(ask.message)
            self.unawaited(result)
        except BaseException as error:  # noqa: BLE001  (every ask gets an answer, whatever was raised)
            # None: it was deferred, so somebody else has it, or it failed when a kill came.
            future, self.asking = self.asking, None
            return self._failed(error, future)
        if self.asking is not None:
            self.asking = None
            self.reply(ask.future, result)
        return self.state is RUNNING

    @calls_hooks("on_failure")
    def _failed(self, error: BaseException, future: Any) -> bool:
        """A handler raised; True when the actor lives on."""
        if self.state is not RUNNING:
            # Killed from another thread while it ran, and that saw no request if it came early.
            if future is not None:
                self.reply_error(future, error)
            return False
        expected = isinstance(error, Exception)
        if not expected and self.stop_everything(error):
            self._stop(Crash(error))
            if future is not None:
                self.reply_error(future, error)
            pykka.ActorRegistry.stop_all(block=False)
            return False
        if future is not None:
            self.report_to_caller(error)
            if expected and self.actor.error_policy == "reply":
                self.reply_error(future, error)
                return True
        self.report(error)
        # Retired before the caller hears of it: whoever sees the error finds the actor dead.
        self._retire()
        if future is not None:
            self.reply_error(future, error)
        try:
            self.unawaited(self.actor.on_failure(type(error), error, error.__traceback__))
        except BaseException as second:  # noqa: BLE001  (an exit is a value)
            self.report(second)
        self._finish(Crash(error))
        return False

    @calls_hooks("on_stop")
    def _stop(self, reason: ExitReason) -> None:
        self._retire()
        self._log_stopped()
        try:
            self.unawaited(self.actor.on_stop())
        except BaseException as error:  # noqa: BLE001  (an exit is a value)
            self.report(error)
            reason = Crash(error)
        self._finish(reason)

    def kill(self, reason: ExitReason) -> None:
        if self.state in (NEW, STARTING, RUNNING) and not self.executing:
            self._retire()
            self._finish(reason)
        elif self.executing:
            # Only from one of its own hooks: two inline actors never run at the same time.
            self.killed = reason
            self._attention = True


class InlineCell(PlainCell):
    """A `PlainCell` that the scheduler runs on the loop."""

    __slots__ = ()
    kind = "inline"

    def has_on_start(self) -> bool:
        return bool(self.actor._own_on_start)

    def _call_on_start(self) -> None:
        if not self.host.on_loop_thread() or _nested.starts >= _NESTED:
            super()._call_on_start()
            return
        # On the loop already: the acknowledgement is there when `launch` returns, at no switch. But
        # in a context of its own, not in that of whoever launches it.
        context = Context()
        _nested.starts += 1
        try:
            begun = context.run(self._begin)
        finally:
            _nested.starts -= 1
        if context:
            self.context = context
        if begun and (self.length or self._attention):
            self._rouse()


class BoundedInlineCell(Bounded, InlineCell):
    """An inline actor's cell with a limit on its mail."""

    __slots__ = ()
