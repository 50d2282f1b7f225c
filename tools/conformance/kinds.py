"""Our kinds of actors, dressed for pykka's suite: free, and as children of a supervisor."""

from __future__ import annotations

from itertools import count
from typing import Any

import pykka

from brama.actors import (
    Actor,
    ActorRef,
    ActorStartError,
    BlockingActor,
    ChildSpec,
    DynamicSupervisor,
    HostedActor,
    InlineActor,
    default_actor_system,
    start_child,
)

__all__ = ["KINDS", "SUPERVISED"]

_HOOKS = ("on_start", "on_receive", "on_stop", "on_failure")


class Adapted(Actor):
    """`Actor` for a suite that knows only plain hooks: each is called by an ``async def``."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        for hook in _HOOKS:
            plain = getattr(cls, hook)
            if not hasattr(plain, "plain"):
                setattr(cls, hook, _awaited(plain))
        super().__init_subclass__(**kwargs)


def _awaited(plain: Any) -> Any:
    async def hook(self: Any, *args: Any) -> Any:
        return plain(self, *args)

    hook.plain = plain  # type: ignore[attr-defined]  # a mark
    hook._brama_default = getattr(pykka.Actor, plain.__name__) is plain  # type: ignore[attr-defined]
    return hook


def _plain_again(cls: type[Any]) -> None:
    """Have ``super().on_receive(message)`` in a plain hook of a subclass find a plain one."""
    for hook in _HOOKS:
        setattr(cls, hook, getattr(pykka.Actor, hook))


_plain_again(Adapted)


class Pool(DynamicSupervisor):
    """The supervisor of the supervised."""

    def __init__(self) -> None:
        super().__init__(intensity=1_000_000)


_ids = count()


def _pool() -> ActorRef[Any]:
    system = default_actor_system()
    system.start()
    ref = system.names.whereis("conformance")
    return ref if ref is not None else system.spawn(Pool, name="conformance")


def supervised(kind: type[HostedActor]) -> type[HostedActor]:
    """The kind, started by a supervisor instead of by itself."""

    class Child(kind):  # type: ignore[misc, valid-type]  # made for each kind
        in_actor_registry = True

        @classmethod
        def start(cls, *args: Any, **kwargs: Any) -> Any:
            spec = ChildSpec(next(_ids), cls, args, kwargs, restart="temporary")
            try:
                return start_child(_pool(), spec).get(timeout=10)
            except ActorStartError as error:
                if error.__cause__ is not None:
                    raise error.__cause__ from None
                raise

    if issubclass(kind, Adapted):
        _plain_again(Child)
    return Child


KINDS: dict[str, type[HostedActor]] = {
    "inline": InlineActor,
    "blocking": BlockingActor,
    "async": Adapted,
}
SUPERVISED = {f"supervised-{name}": supervised(kind) for name, kind in KINDS.items()}
