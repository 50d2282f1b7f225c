"""The circuits of one system, by scope and name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import EllipsisType
from typing import Any
from weakref import WeakValueDictionary

from brama.telemetry import ConfigError

from .agreement import check_agreement
from .breaker import Breaker
from .circuit import Circuit
from .connection_kind import ConnectionKind, UnknownKinds, check_kind
from .errors import UnknownConnectionError
from .events import Event
from .generation import Generation
from .log import Record
from .options import Key, check_name, check_scope
from .orders import Order
from .policy import Policy, check_options, check_policy, merge
from .roster import Roster
from .shared import Shared
from .state import State, check_state
from .tracing import renew as renew_tracing
from .tracing import tell_registered, tell_unregistered

__all__ = ["Catalogue"]

Wanted = Callable[[str, "str | None", ConnectionKind], bool]
CACHED_POLICIES = 256
NOTHING: Mapping[str, Any] = {}
BESIDES = ("scope", "policy", "kind", "metadata", "pinned")  # what `circuit` takes, too


class Catalogue:
    """Get or create, find, unregister.

    There is never more than one breaker for a key: one that is unregistered and still guards a
    decorated function is the one that registers again.

    Args:
        shared: what the breakers have in common.
        defaults: the options that hold where a circuit gives none.

    Threads: from any. Lookups take no lock. Order of locks: the catalogue's, then a breaker's.
    """

    def __init__(self, shared: Shared, defaults: Callable[[], Mapping[str, Any]] = dict) -> None:
        self.shared = shared
        self._defaults = defaults
        self._lock = threading.Lock()
        self._configuring = threading.Lock()  # taken first; no option is lost between two threads
        # Invariant: these are written under the lock.
        self._circuits = Roster()
        self._gone: WeakValueDictionary[Key, Breaker] = WeakValueDictionary()
        self._pinned: set[Key] = set()
        self._deactivated = 0
        self.unknown_kinds = UnknownKinds()
        self.held: Callable[[Key], bool] = _by_nobody
        self._policies: dict[tuple[tuple[str, Any], ...], tuple[Policy, Mapping[str, Any]]] = {}
        shared.revive = self._revive

    def circuit(
        self,
        name: str,
        *,
        scope: str | None = None,
        policy: Policy | None = None,
        kind: ConnectionKind | str | None = None,
        metadata: Mapping[str, Any] | None = None,
        pinned: bool = False,
        **options: Any,
    ) -> Circuit:
        """The circuit of that name; made and registered if there is none.

        Args:
            name: 1 to 255 printable characters.
            scope: equal names in different scopes are different connections.
            policy: all the rules at once; or
            options: single ones, see `Policy`; the others follow the defaults.
            kind: what kind of connection it is: a `ConnectionKind`, ``"other"`` if it is not
                told. One that is unknown is ``"other"``, too, and is counted.
            metadata: whatever the status and the handlers should see along.
            pinned: never removed for being idle; it holds until the circuit is unregistered.

        Raises:
            ConfigError: a wrong name or option, `policy` together with options, or an option or a
                kind or metadata that contradicts those of the circuit that is there.
        """
        check_name("name", name)
        key = (check_scope(scope), name)
        if policy is None:
            options = check_options(options, besides=BESIDES)
        else:
            check_policy(policy)
            if options:
                raise ConfigError("policy", "given alone, without single options", sorted(options))
        if metadata is not None and not isinstance(metadata, Mapping):
            raise ConfigError("metadata", "a mapping", metadata)
        if not isinstance(pinned, bool):
            raise ConfigError("pinned", "True or False", pinned)
        told = None if kind is None else self.unknown_kinds.read(kind)
        if not pinned or key in self._pinned:
            return self._have(key, policy, options, metadata, told)
        with self._lock:
            self._pinned.add(key)  # first: the cleanup must not come in between
        try:
            return self._have(key, policy, options, metadata, told)
        except ConfigError:
            with self._lock:
                self._pinned.discard(key)
            raise

    def _have(
        self,
        key: Key,
        policy: Policy | None,
        options: Mapping[str, Any],
        metadata: Mapping[str, Any] | None,
        kind: ConnectionKind | None,
    ) -> Circuit:
        """The circuit of that key, which agrees with the options."""
        circuit = self._circuits.get(key)
        if circuit is None:
            circuit, ring = self._create(key, policy, options, metadata, kind)
            if ring:
                self.shared.bell(circuit._breaker)
                return circuit
        check_agreement(circuit, policy, options, metadata, kind)
        return circuit

    def _create(
        self,
        key: Key,
        policy: Policy | None,
        options: Mapping[str, Any],
        metadata: Mapping[str, Any] | None,
        kind: ConnectionKind | None,
    ) -> tuple[Circuit, bool]:
        rules, given = self._policy({"policy": policy} if policy is not None else options)
        with self._lock:
            circuit = self._circuits.get(key)
            if circuit is not None:  # another thread was faster
                return circuit, False
            breaker = self._gone.pop(key, None)
            if breaker is None:
                breaker = Breaker(key[1], key[0], rules, self.shared)
            with breaker.lock:
                breaker.install(rules, given, metadata or NOTHING, kind or ConnectionKind.OTHER)
            self.shared.begun(*key)
            circuit = Circuit(breaker)
            self._circuits.put(breaker.key, circuit)
            ring = breaker.open_gate()
        if self.shared.asked:
            self.shared.settle()
        tell_registered(breaker.name, breaker.scope)
        return circuit, ring

    def _policy(self, asked: Mapping[str, Any]) -> tuple[Policy, Mapping[str, Any]]:
        """The policy and the options that a circuit is made with; equal ones are one object."""
        try:
            key = tuple(asked.items())
            # First: should the defaults change from here on, nobody looks into this one any more.
            policies = self._policies
            made = policies.get(key)
        except TypeError:  # an option that does not hash: a list of exceptions, say
            return Policy(**merge(self._defaults(), asked)), asked
        if "health_check" in asked:
            made = None  # an async one belongs to the loop of whoever asks, not of the first
        if made is None:
            policy = asked.get("policy")
            if policy is None:
                made = Policy(**merge(self._defaults(), asked)), asked or NOTHING
            else:
                made = policy, policy.options()
            if len(policies) >= CACHED_POLICIES:
                policies.clear()
            policies[key] = made
        return made

    def forget_defaults(self) -> None:
        """The defaults have changed: circuits made from now on follow the new ones."""
        self._policies = {}

    def configure(self, name: str, *, scope: str | None = None, **options: Any) -> Circuit:
        """Change only the options that are given, on a circuit that is there.

        State, failures and a running expiry stay.

        Raises:
            UnknownConnectionError: there is no such circuit.
            ConfigError: a wrong option.
        """
        circuit = self.get(name, scope=scope)
        breaker = circuit._breaker
        checked = check_options(options)
        with self._configuring:
            given = merge(breaker.options, checked)
            policy = Policy(**merge(self._defaults(), given))
            self.shared.ordered(
                Order(order="configure", connection=name, scope=scope, options=checked)
            )
            breaker.reconfigure(policy, given)
        return circuit

    def find(self, name: str, *, scope: str | None = None) -> Circuit | None:
        """The circuit of that name, or None."""
        return self._circuits.get((check_scope(scope), check_name("name", name)))

    def at(self, key: Key) -> Circuit | None:
        """The circuit of that key, or None."""
        return self._circuits.get(key)

    def get(self, name: str, *, scope: str | None = None) -> Circuit:
        """The circuit of that name.

        Raises:
            UnknownConnectionError: there is none.
        """
        circuit = self.find(name, scope=scope)
        if circuit is None:
            raise UnknownConnectionError(name, scope)
        return circuit

    def unregister(self, name: str, *, scope: str | None = None, strict: bool = False) -> bool:
        """Remove a circuit; False, or strictly an error, if there is none.

        Calls under way end as late results.
        """
        check_name("name", name)
        check_scope(scope)
        if self._circuits.get((scope, name)) is not None and self.shared.inside():
            self.shared.then(partial(self.unregister, name, scope=scope))
            return True
        with self._lock:
            circuit = self._circuits.pop((scope, name))
            if circuit is None:
                if strict:
                    raise UnknownConnectionError(name, scope)
                return False
            self._pinned.discard((scope, name))
            breaker = circuit._breaker
            self._gone[(scope, name)] = breaker
            ring = breaker.shut_gate("connection_unregistered")
            self.shared.gone(breaker)
        self.shared.ordered(Order(order="unregister", connection=name, scope=scope))
        if ring:
            self.shared.bell(breaker)
        if self.shared.asked:
            self.shared.settle()
        tell_unregistered(name, scope, "unregistered")
        return True

    def remove_idle(self, circuit: Circuit, threshold: float) -> bool:
        """Remove the circuit if it is idle for so many seconds and nobody holds it."""
        breaker = circuit._breaker
        if self.shared.leaked:
            self.shared.settle(ours=True)  # nobody else may come by who settles what was given up
        if breaker.idle_for(self.shared.clock()) < threshold:
            return False
        key = circuit.key
        with self._lock:
            if self._circuits.get(key) is not circuit or key in self._pinned or self.held(key):
                return False
            ring = breaker.shut_if_idle(threshold)
            if ring is None:
                return False
            self._circuits.pop(key)
            self._gone[key] = breaker
            self.shared.gone(breaker)
        if ring:
            self.shared.bell(breaker)
        if self.shared.asked:
            self.shared.settle(ours=True)
        tell_unregistered(breaker.name, breaker.scope, "idle")
        return True

    def removal(self, removed: int) -> Record:
        """What is told of a cleanup that has removed so many."""
        shared = self.shared
        return Record(
            source=shared.source,
            connection="",
            scope=None,
            kind=None,
            events=("cleanup",),
            epoch=self._next_epoch(),
            number=1,
            seq=None,
            wall=shared.wall(),
            monotonic=shared.clock(),
            data=shared.located({"removed": removed, "remaining": len(self)}),
            context=None,
            version=shared.interest.version,
            rules=shared.severities,
        )

    def _next_epoch(self) -> int:
        with self._lock:
            return self.shared.next_epoch()

    def shard(self, number: int) -> list[Circuit]:
        """The circuits of one of the `SHARDS` at this instant."""
        return self._circuits.shard(number)

    def keys(self, number: int) -> list[Key]:
        """The keys of one of the `SHARDS` at this instant."""
        return self._circuits.keys(number)

    def _revive(self, breaker: Breaker) -> None:
        key = (breaker.scope, breaker.name)
        with self._lock:
            if breaker.registered:
                return
            self._gone.pop(key, None)
            with breaker.lock:
                breaker.install(breaker.policy, breaker.options, breaker.metadata, breaker.kind)
            self._circuits.put(key, Circuit(breaker))
            ring = breaker.open_gate()
        if ring:
            self.shared.bell(breaker)
        if self.shared.asked:
            self.shared.settle()
        tell_registered(breaker.name, breaker.scope)

    def select(
        self,
        *,
        scope: str | EllipsisType | None = ...,
        state: State | str | None = None,
        kind: ConnectionKind | str | None = None,
    ) -> tuple[Circuit, ...]:
        """The registered circuits, of one scope, in one state and of one kind, as far as given.

        A scope of None asks for the circuits that have none.
        """
        found: Iterable[Circuit] = self
        if scope is not ...:
            check_scope(scope)
            found = (circuit for circuit in found if circuit.scope == scope)
        if state is not None:
            wanted = check_state(state)
            found = (circuit for circuit in found if circuit.state is wanted)
        of_kind = check_kind(kind)
        if of_kind is not None:
            found = (circuit for circuit in found if circuit.kind is of_kind)
        return tuple(found)

    def pieces(self) -> Iterator[Circuit]:
        """The registered circuits in no order, each shard at the instant in which it is reached."""
        return iter(self._circuits)

    def snapshots(self, wanted: Wanted) -> list[Event]:
        """An event `snapshot` of each circuit that is `wanted` by its name, scope and kind."""
        return [
            circuit._breaker.snapshot()
            for circuit in self
            if wanted(circuit.name, circuit.scope, circuit.kind)
        ]

    def __iter__(self) -> Iterator[Circuit]:
        """The registered circuits at this instant, in the order of their registration."""
        return iter(sorted(self._circuits, key=_epoch))

    def __len__(self) -> int:
        return len(self._circuits)

    def deactivate(self) -> None:
        """Let every call through every circuit, and count nothing; once more for each time."""
        self.shared.ordered(Order(order="deactivate"))
        self._deactivate(1)

    def activate(self) -> None:
        """Take one `deactivate` back."""
        self.shared.ordered(Order(order="activate"))
        self._deactivate(-1)

    def _deactivate(self, times: int) -> None:
        shared = self.shared
        if shared.inside():
            shared.then(partial(self._deactivate, times))
            return
        with self._lock:
            self._deactivated = max(0, self._deactivated + times)
            self._bypass()
        if shared.asked:
            shared.settle()

    def _bypass(self) -> None:
        if (self.shared.bypass is not None) is not bool(self._deactivated):
            self.shared.bypass = Generation(0) if self._deactivated else None
            for circuit in self._circuits:
                circuit._breaker.bypassed()

    # Around a fork, in this order: no other thread is inside a lock when the child begins.

    def before_fork(self) -> None:
        """Take all locks, its own first."""
        self._lock.acquire()
        for stripe in self.shared.stripes:
            stripe.acquire()

    def after_fork_in_parent(self) -> None:
        """Give them back."""
        for stripe in self.shared.stripes:
            stripe.release()
        self._lock.release()
        if self.shared.asked:
            self.shared.settle()

    def after_fork_in_child(self) -> None:
        """The circuits stay as they are; what was under way is the parent's."""
        self._configuring = threading.Lock()  # whoever held it is not there to release it
        renew_tracing()
        self.shared.renew()
        self.shared.leaked.clear()
        self.shared.asked.clear()
        for circuit in self._circuits:
            circuit._breaker.reset_after_fork()
        self.after_fork_in_parent()


def _by_nobody(_key: Key) -> bool:
    """There are no groups and no sources that a circuit would have to be kept for."""
    return False


def _epoch(circuit: Circuit) -> int:
    return circuit._breaker.epoch
