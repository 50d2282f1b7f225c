"""What a supervisor knows of a child before it exists."""

from __future__ import annotations

import builtins
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast

from attrs import Attribute, Factory, evolve, field, frozen

from brama.telemetry import ConfigError, takes_only, unknown

from .actor import HostedActor
from .durations import INFINITY, duration
from .overflow import MailboxPolicy
from .strategy import Restart

__all__ = ["ChildInfo", "ChildSpec", "as_spec", "check_children", "check_name"]

ChildType = Literal["worker", "supervisor"]


def _is_actor_class(_spec: object, _attribute: object, value: Any) -> None:
    if not (
        isinstance(value, type)
        and issubclass(value, HostedActor)
        and hasattr(value, "_cell_class")  # `HostedActor` itself is no kind
    ):
        raise ConfigError(
            "ChildSpec.start", "a class derived from Actor, InlineActor or BlockingActor", value
        )


_SHUTDOWN = MappingProxyType({"brutal_kill": 0.0, **INFINITY})


def _shutdown(value: float | timedelta | str) -> float:
    return duration("ChildSpec.shutdown", value, zero=True, words=_SHUTDOWN)


def _start_timeout(value: float | timedelta | str) -> float:
    return duration("ChildSpec.start_timeout", value, words=INFINITY)


def _is_bool(_spec: object, attribute: Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"ChildSpec.{attribute.name}", "True or False", value)


def check_name(option: str, value: object) -> None:
    """Raise `ConfigError` for what an actor or a child cannot be called."""
    try:
        hash(value)
    except TypeError:
        raise ConfigError(option, "a hashable value", value) from None
    if value is None or value == "":
        raise ConfigError(option, "a non-empty value", value)


def _is_hashable(_spec: object, attribute: Attribute[Any], value: Any) -> None:
    if value is not None or attribute.name != "name":
        check_name(f"ChildSpec.{attribute.name}", value)


def _is_policy(_spec: object, _attribute: object, value: Any) -> None:
    if not (value is None or isinstance(value, MailboxPolicy)):
        raise ConfigError("ChildSpec.mailbox", "a MailboxPolicy or None", value)


def _arguments(value: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise ConfigError("ChildSpec.args", "a sequence of arguments", value)
    return tuple(value)


class _NoOptions(dict[str, Any]):
    """The options of every child that has none: one object for them all, so it takes none."""

    __slots__ = ()

    def _refuse(self, *_given: object, **_named: object) -> Any:
        raise TypeError("a ChildSpec is frozen: use spec.but(kwargs=…)")

    if not TYPE_CHECKING:  # every way to add to a dict, refused alike; to checkers it is a dict
        __setitem__ = __ior__ = setdefault = update = _refuse


_NO_OPTIONS = _NoOptions()


def _options(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError("ChildSpec.kwargs", "a mapping of arguments by name", value)
    return dict(value) if value else _NO_OPTIONS


def _restart(value: Any) -> Restart:
    try:
        return Restart(value)
    except ValueError:
        raise unknown("ChildSpec.restart", value, [str(one) for one in Restart]) from None


def _default_shutdown(spec: ChildSpec) -> float:
    # OTP: a supervisor gets the time that its own children need.
    return float("inf") if getattr(spec.start, "supervises", False) else 5.0


_WORDS = {
    "type": "The class tells it: one derived from Supervisor is a supervisor, others are workers.",
    "restart_type": "restart",
    "arguments": "args",
    "modules": "There is no hot code to upgrade: leave it out.",
}


@takes_only("an option of a child", _WORDS)
@frozen(weakref_slot=False)
class ChildSpec:
    """How a supervisor starts, restarts and ends one child.

    Example:
        >>> ChildSpec("prices", PriceFeed, args=("EUR",), restart="transient", name="prices")

    Options:
        id: any hashable value, unique within the supervisor.
        start: the actor class.
        args, kwargs: for its constructor, which runs on the loop at each (re)start. Of a temporary
            child, which is never started again, the supervisor does not keep them.
        restart: `Restart`, ``permanent`` by default.
        shutdown: seconds (or a `timedelta`) that the child has to end in good order before it is
            killed: 5.0 for workers, ``"infinity"`` for supervisors; 0 or ``"brutal_kill"`` kills
            at once.
        significant: its end may be its supervisor's, see ``auto_shutdown`` of `Supervisor`; not
            for permanent children.
        start_timeout: seconds that `on_start` may take, 10.0; ``"infinity"`` is possible.
        name: registered in ``system.names`` at each (re)start, before `on_start`.
        mailbox: a `MailboxPolicy`, instead of the one of the class.

    Raises:
        ConfigError: one of them is wrong, at the construction.

    Source: Erlang/OTP ``supervisor:child_spec()``.
    """

    id: Hashable = field(validator=_is_hashable)
    start: builtins.type[HostedActor] = field(validator=_is_actor_class)
    args: tuple[Any, ...] = field(default=(), converter=_arguments)
    kwargs: Mapping[str, Any] = field(factory=dict, converter=_options, hash=False)
    restart: Restart = field(default=Restart.PERMANENT, converter=_restart, kw_only=True)
    shutdown: float = field(
        default=Factory(_default_shutdown, takes_self=True), converter=_shutdown, kw_only=True
    )
    significant: bool = field(default=False, validator=_is_bool, kw_only=True)
    start_timeout: float = field(default=10.0, converter=_start_timeout, kw_only=True)
    name: Hashable | None = field(default=None, validator=_is_hashable, kw_only=True)
    mailbox: MailboxPolicy | None = field(default=None, validator=_is_policy, kw_only=True)

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

    def without_arguments(self) -> ChildSpec:
        """A copy that holds on to nothing that the child was given."""
        return evolve(self, args=(), kwargs={}) if self.args or self.kwargs else self


def as_spec(option: str, child: Any) -> ChildSpec:
    """``child`` as a spec; an actor class that needs no arguments is its own.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(child, ChildSpec):
        return child
    if isinstance(child, type) and issubclass(child, HostedActor):
        return ChildSpec(cast("Hashable", child), child)
    raise ConfigError(option, "a ChildSpec, or an actor class", child)


def check_children(option: str, children: Iterable[Any]) -> tuple[ChildSpec, ...]:
    """The specs as a tuple. Raises `ConfigError` for what is no spec and for a repeated id."""
    if isinstance(children, ChildSpec | str | bytes) or not isinstance(children, Iterable):
        raise ConfigError(option, "a sequence of ChildSpec", children)
    specs: list[ChildSpec] = []
    seen: set[Hashable] = set()
    for child in children:
        if not isinstance(child, ChildSpec | type):
            raise ConfigError(option, "a sequence of ChildSpec", child)
        spec = as_spec(option, child)
        specs.append(spec)
        if spec.id in seen:
            raise ConfigError(option, "child specs with different ids", spec.id)
        seen.add(spec.id)
    return tuple(specs)


@frozen
class ChildInfo:
    """One line of `which_children`."""

    id: Hashable
    ref: Any
    """The `ActorRef` of the running incarnation, or None."""
    status: str
    """``starting``, ``running``, ``restarting``, ``stopping``, ``stopped`` or ``quarantined``."""
    type: ChildType
    actor_class: builtins.type[HostedActor]
    restarts: int
