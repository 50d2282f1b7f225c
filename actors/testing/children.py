"""Start actors under the supervision of a test's system."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from .. import (
    ActorRef,
    ActorSystem,
    ChildNotFoundError,
    ChildSpec,
    HostedActor,
    delete_child,
    start_child,
    terminate_child,
)

__all__ = ["start_supervised", "start_supervised_blocking", "stop_supervised"]


def _spec(child: ChildSpec | type[HostedActor], args: Any, options: dict[str, Any]) -> ChildSpec:
    if isinstance(child, ChildSpec):
        return child.but(**options) if options else child
    return ChildSpec(options.pop("id", child.__name__), child, args, **options)


async def start_supervised(
    system: ActorSystem, child: ChildSpec | type[HostedActor], *args: Any, **options: Any
) -> ActorRef[Any]:
    """Start a child under the root of ``system``; it ends with that, in good order.

    Example:
        >>> prices = await start_supervised(system, Prices, "EUR", restart="transient")

    Args:
        system: one that runs, on this loop or another.
        child: a spec, or an actor class; the class gives its name as the id.
        args: for the constructor of the class.
        options: those of `ChildSpec`, for instance ``id``, ``name``, ``restart``.

    Raises:
        ActorStartError: its `on_start` failed.
        ChildExistsError: there is a child with this id.

    Source: ExUnit ``start_supervised!``.
    """
    root = system.names.via(system.name)
    return await start_child(root, _spec(child, args, options))


def start_supervised_blocking(
    system: ActorSystem,
    child: ChildSpec | type[HostedActor],
    *args: Any,
    timeout: float = 5.0,
    **options: Any,
) -> ActorRef[Any]:
    """`start_supervised` from a plain thread, for a system on a loop of its own."""
    root = system.names.via(system.name)
    return start_child(root, _spec(child, args, options)).get(timeout=timeout)


async def stop_supervised(system: ActorSystem, id: Hashable) -> None:
    """End the child with this id and forget it.

    Raises:
        ChildNotFoundError: there is none.
    """
    root = system.names.via(system.name)
    await terminate_child(root, id)
    try:
        await delete_child(root, id)
    except ChildNotFoundError:
        pass  # it was temporary: forgotten already
