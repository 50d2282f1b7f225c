"""Requests to a supervisor, with OTP's names and answers.

Each sends one message and returns a `Future`: ``.get(timeout=…)`` it from a thread, ``await`` it on
trio or asyncio. A refusal is a `ChildError` in the future; a dead supervisor fails it with
`ActorDeadError`. The target is a ref or a ``names.via(…)``.

Threads: any.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol, cast

from attrs import frozen

from brama.telemetry import ConfigError

from .actor import HostedActor
from .children import ChildInfo, ChildSpec, as_spec
from .future import Future
from .ref import ActorRef
from .via import Via

__all__ = [
    "ChildCounts",
    "Supervised",
    "count_children",
    "delete_child",
    "get_childspec",
    "restart_child",
    "start_child",
    "terminate_child",
    "which_children",
]


class Supervised(Protocol):
    """The address of a supervisor: a ref or a via."""

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any: ...


@frozen
class ChildCounts:
    """The answer of `count_children`."""

    specs: int
    """All children, whether they run or not."""
    active: int
    """Those that run."""
    supervisors: int
    """Of all, those that are supervisors."""
    workers: int
    """Of all, the others."""


@frozen
class StartChild:
    spec: ChildSpec


@frozen
class TerminateChild:
    id: Hashable


@frozen
class RestartChild:
    id: Hashable


@frozen
class DeleteChild:
    id: Hashable


@frozen
class GetChildSpec:
    id: Hashable


@frozen
class WhichChildren:
    pass


@frozen
class CountChildren:
    pass


def _ask(supervisor: Any, request: Any) -> Any:
    ref = supervisor.whereis() if isinstance(supervisor, Via) else supervisor
    cls = getattr(ref, "actor_class", None)
    if not getattr(cls, "supervises", False) and not (ref is None and ref is not supervisor):
        raise ConfigError("supervisor", "a ref of a supervisor, or a via", supervisor)
    return supervisor.ask(request, block=False)


def start_child(
    supervisor: Supervised, spec: ChildSpec | type[HostedActor]
) -> Future[ActorRef[Any]]:
    """Add a child and start it; the future holds its ref once its `on_start` has run.

    It holds None when the child raised `Ignore`. A class that needs no arguments may stand for its
    spec.

    Fails with `ChildExistsError`, `ChildLimitError`, or `ActorStartError`; after the last the spec
    is forgotten.

    Raises:
        ConfigError: `spec` is none.
    """
    request = StartChild(as_spec("spec", spec))
    return cast("Future[Any]", _ask(supervisor, request))


def terminate_child(supervisor: Supervised, id: Hashable) -> Future[None]:
    """End a child within its deadline; it is not restarted. ``id`` may be the ref of the child.

    A `Supervisor` keeps the spec of a child that is not temporary, for `restart_child`; a
    `DynamicSupervisor` forgets it.

    Fails with `ChildNotFoundError`.
    """
    return cast("Future[None]", _ask(supervisor, TerminateChild(id)))


def restart_child(supervisor: Supervised, id: Hashable) -> Future[ActorRef[Any]]:
    """Start a child that was terminated, ended and was not restarted, or is quarantined.

    Fails with `ChildNotFoundError`, `ChildRunningError`, `ChildRestartingError` or
    `ActorStartError`.
    """
    return cast("Future[Any]", _ask(supervisor, RestartChild(id)))


def delete_child(supervisor: Supervised, id: Hashable) -> Future[None]:
    """Forget the spec of a child that does not run, or is quarantined.

    Fails with `ChildNotFoundError`, `ChildRunningError` or `ChildRestartingError`.
    """
    return cast("Future[None]", _ask(supervisor, DeleteChild(id)))


def get_childspec(supervisor: Supervised, id: Hashable) -> Future[ChildSpec]:
    """The spec of a child. Fails with `ChildNotFoundError`."""
    return cast("Future[ChildSpec]", _ask(supervisor, GetChildSpec(id)))


def which_children(supervisor: Supervised) -> Future[tuple[ChildInfo, ...]]:
    """All children in start order."""
    return cast("Future[tuple[ChildInfo, ...]]", _ask(supervisor, WhichChildren()))


def count_children(supervisor: Supervised) -> Future[ChildCounts]:
    """How many specs, running children, supervisors and workers."""
    return cast("Future[ChildCounts]", _ask(supervisor, CountChildren()))
