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

__all__ = ["adopt", "check_host", "exiting"]

# Seconds that all systems together may take at the exit of the interpreter.
_EXIT_DEADLINE = 5.0


class Tenant(Protocol):
    """A system, as far as its process is concerned."""

    @property
    def stop_timeout(self) -> float: ...

    def request_stop(self, timeout: float) -> None: ...

    def finish(self, timeout: float) -> None: ...

    def after_fork(self) -> None: ...


_tenants: weakref.WeakSet[Tenant] = weakref.WeakSet()
_lock = threading.Lock()  # Invariant: guards _tenants and _registered
_registered = False
_exiting = False


def adopt(tenant: Tenant) -> None:
    """Stop ``tenant`` when the interpreter exits, and tell it of forks.

    The handlers are registered with the first tenant, so that the import leaves no trace in the
    process.
    """
    global _registered
    with _lock:
        _tenants.add(tenant)
        if not _registered:
            _registered = True
            atexit.register(_at_exit)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=_after_fork)


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
    for tenant in tenants:  # all at the same time, under one deadline
        tenant.request_stop(min(tenant.stop_timeout, _EXIT_DEADLINE))
    for tenant in tenants:
        tenant.finish(max(0.0, end - time.monotonic()))


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # some thread of the parent may have held it
    for tenant in list(_tenants):
        tenant.after_fork()


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
