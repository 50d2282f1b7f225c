"""Living in somebody else's process: its exit, its forks, its monkey patches."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from typing import Protocol

from .errors import HostError

__all__ = ["adopt", "check_host", "exiting", "inherit", "reset_after_fork"]

# Seconds that all systems together may take at the exit of the interpreter.
_EXIT_DEADLINE = 5.0


class Tenant(Protocol):
    """A system, as far as its process is concerned."""

    @property
    def stop_timeout(self) -> float: ...

    def _come_up(self, timeout: float) -> None: ...

    def request_stop(self, timeout: float) -> None: ...

    def _finish(self, timeout: float) -> None: ...

    def _after_fork(self) -> None: ...


class Heir(Protocol):
    """Something that the child of a fork must set up anew."""

    def after_fork(self) -> None: ...


_heirs: weakref.WeakSet[Heir] = weakref.WeakSet()
_tenants: weakref.WeakSet[Tenant] = weakref.WeakSet()
_lock = threading.Lock()  # Invariant: guards _heirs, _tenants, _home and _hooked
# The process whose exit `_at_exit` serves; None before the first tenant, and in a fresh child.
_home: int | None = None
# The process in which everything here was made or set up anew.
_born: int | None = None
_hooked = False
_exiting = False


def adopt(tenant: Tenant) -> None:
    """Stop ``tenant`` when the interpreter exits, and tell it of forks.

    The handlers are registered with the first tenant, so that the import leaves no trace in the
    process.
    """
    global _home
    with _lock:
        _tenants.add(tenant)
        _hook()
        if _home != os.getpid():
            _home = os.getpid()
            # Anew in each process: since Python 3.12 the children of multiprocessing begin with an
            # empty list of exit handlers, all others with a copy of their parent's.
            atexit.unregister(_at_exit)
            atexit.register(_at_exit)
            _serve_multiprocessing()


def inherit(heir: Heir) -> None:
    """Tell ``heir`` of forks."""
    with _lock:
        _heirs.add(heir)
        _hook()


def _hook() -> None:
    global _hooked, _born
    if not _hooked:
        _hooked, _born = True, os.getpid()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)


def _serve_multiprocessing() -> None:
    """In a child that multiprocessing forked, which ends without calling the exit handlers."""
    process = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=100)


def exiting() -> bool:
    """Whether the interpreter is on its way out, so that no thread may be started."""
    return _exiting


def _at_exit() -> None:
    # A daemon thread runs the loop: a normal one would be joined before this handler is called, and
    # the process would hang for ever. Nothing here starts a thread; Python ≥ 3.12 forbids it at
    # this stage.
    global _exiting
    _exiting = True
    end = time.monotonic() + _EXIT_DEADLINE
    tenants = list(_tenants)
    for tenant in tenants:
        tenant._come_up(max(0.0, end - time.monotonic()) / 2)
    for tenant in tenants:  # all at the same time, under one deadline
        tenant.request_stop(min(tenant.stop_timeout, _EXIT_DEADLINE))
    for tenant in tenants:
        tenant._finish(max(0.0, end - time.monotonic()))


def _after_fork() -> None:
    global _lock, _home, _born, _exiting
    _lock = threading.Lock()  # some thread of the parent may have held it
    _home, _born = None, os.getpid()
    _exiting = False
    for tenant in list(_tenants):
        tenant._after_fork()
    for heir in list(_heirs):
        heir.after_fork()


def reset_after_fork() -> bool:
    """Make all systems and registries of this process as new, if they are a parent's.

    Python does so by itself after ``os.fork()``, ``multiprocessing`` and every server that forks
    through them. Call this first thing in the worker (uWSGI's ``@postfork``, a C extension's hook)
    where something forks behind Python's back.

    Returns:
        True if there was something to do; in a process that is in order already, nothing happens.
    """
    if _born is None or _born == os.getpid():
        return False
    _after_fork()
    return True


def check_host() -> None:
    """Raise `HostError` where trio cannot run."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return
    patched = [
        name
        for name in ("socket", "select", "selectors", "threading", "thread")
        if monkey.is_module_patched(name)
    ]
    if patched:
        raise HostError(
            f"gevent has monkey-patched {', '.join(patched)}, and trio, which runs the actors, "
            "cannot work on top of that: do not patch the process that uses brama, or give brama a "
            "process of its own"
        )
