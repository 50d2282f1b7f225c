"""What a supervisor knows of a child before it exists."""

from __future__ import annotations

import builtins
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

from attrs import Attribute, Factory, evolve, field, frozen

from brama.telemetry import ConfigError, unknown

from .actor import HostedActor
from .strategy import Restart

__all__ = ["ChildInfo", "ChildSpec", "check_children"]

ChildType = Literal["worker", "supervisor"]


def _is_actor_class(_spec: object, _attribute: object, value: Any) -> None:
    if not (isinstance(value, type) and issubclass(value, HostedActor)):
        raise ConfigError(
            "ChildSpec.start", "a class derived from Actor, InlineActor or BlockingActor", value
        )


def _is_duration(_spec: object, attribute: Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ConfigError(f"ChildSpec.{attribute.name}", "a number of seconds, 0 or more", value)


def _is_hashable(_spec: object, attribute: Attribute[Any], value: Any) -> None:
    if value is None and attribute.name == "name":
        return
    try:
        hash(value)
    except TypeError:
        raise ConfigError(f"ChildSpec.{attribute.name}", "a hashable value", value) from None
    if value is None or value == "":
        raise ConfigError(f"ChildSpec.{attribute.name}", "a non-empty value", value)


def _arguments(value: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(value)


def _restart(value: Any) -> Restart:
    try:
        return Restart(value)
    except ValueError:
        raise unknown("ChildSpec.restart", value, [str(one) for one in Restart]) from None


def _default_shutdown(spec: ChildSpec) -> float:
    # OTP: a supervisor gets the time that its own children need.
    return float("inf") if getattr(spec.start, "supervises", False) else 5.0


@frozen
class ChildSpec:
    """How a supervisor starts, restarts and ends one child.

    Example:
        >>> ChildSpec("prices", PriceFeed, args=("EUR",), restart="transient", name="prices")

    Options:
        id: any hashable value, unique within the supervisor.
        start: the actor class.
        args, kwargs: for its constructor, which runs on the loop at each (re)start.
        restart: `Restart`, ``permanent`` by default.
        shutdown: seconds that the child has to end in good order before it is killed: 5.0 for
        workers,
            unlimited for supervisors; 0 kills at once (OTP's ``brutal_kill``).
        significant: reserved for automatic shutdown of the supervisor; only for children that are
        not
            permanent.
        start_timeout: seconds that `on_start` may take, 10.0.
        name: registered in ``system.names`` at each (re)start, before `on_start`.

    Raises:
        ConfigError: one of them is wrong, at the construction.
    """

    id: Hashable = field(validator=_is_hashable)
    start: builtins.type[HostedActor] = field(validator=_is_actor_class)
    args: tuple[Any, ...] = field(default=(), converter=_arguments)
    kwargs: Mapping[str, Any] = field(factory=dict, converter=dict, hash=False)
    restart: Restart = field(default=Restart.PERMANENT, converter=_restart, kw_only=True)
    shutdown: float = field(
        default=Factory(_default_shutdown, takes_self=True), validator=_is_duration, kw_only=True
    )
    significant: bool = field(default=False, kw_only=True)
    start_timeout: float = field(default=10.0, validator=_is_duration, kw_only=True)
    name: Hashable | None = field(default=None, validator=_is_hashable, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.significant and self.restart is Restart.PERMANENT:
            raise ConfigError(
                "ChildSpec.significant", "False for a permanent child", self.significant
            )

    @property
    def type(self) -> ChildType:
        """``"supervisor"`` or ``"worker"``, as the class says."""
        return "supervisor" if self.start.supervises else "worker"

    def but(self, **changes: Any) -> ChildSpec:
        """A copy with some options changed."""
        return evolve(self, **changes)


def check_children(option: str, children: Sequence[ChildSpec]) -> tuple[ChildSpec, ...]:
    """The specs as a tuple. Raises `ConfigError` for what is no spec and for a repeated id."""
    specs = tuple(children)
    seen: set[Hashable] = set()
    for spec in specs:
        if not isinstance(spec, ChildSpec):
            raise ConfigError(option, "a sequence of ChildSpec", spec)
        if spec.id in seen:
            raise ConfigError(option, "child specs with different ids", spec.id)
        seen.add(spec.id)
    return specs


@frozen
class ChildInfo:
    """One line of `which_children`."""

    id: Hashable
    ref: Any
    """The `ActorRef` of the running incarnation, or None."""
    status: str
    """``starting``, ``running``, ``restarting``, ``stopping`` or ``stopped``."""
    type: ChildType
    actor_class: builtins.type[HostedActor]
    restarts: int
