"""What the adapters have in common: which circuit a request takes, and what its answer means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, Unpack, cast

from brama.telemetry import ConfigError

from ..circuit import Circuit
from ..classify import FAILURE, IGNORE, SUCCESS, classified, holds
from ..connection_kind import ConnectionKind
from ..errors import CircuitOpenError
from ..keywords import Options
from ..options import check_name, check_scope, whole
from ..outcome import Outcome
from ..permit import Permit
from ..policy import Policy, check_options
from ..provider import Provider, default_home
from .hosts import Hosts
from .retry_after import retry_after

__all__ = ["DEFAULT_PORTS", "Choice", "Gate", "Statuses", "Wrapper", "host_name"]

R = TypeVar("R")
A = TypeVar("A")

Statuses: TypeAlias = Iterable[int] | Callable[[int], object]
"""Statuses that are failures: which, or a function of one."""

Choice: TypeAlias = Circuit | str | Callable[[R], Circuit | str | None] | None
"""The circuit of a request: None is one for each host, a circuit or a name the one for all; a
function of the request chooses, and its None lets the request pass unguarded."""

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def overloaded_or_broken(status: int) -> bool:
    """429 and everything from 500 on."""
    return status == 429 or status >= 500


def host_name(scheme: str, host: str, port: int | None) -> str:
    """The name of the circuit of a host; its port only where it is not the usual one.

    Example:
        >>> host_name("https", "api.example.com", 443), host_name("http", "localhost", 8080)
        ('api.example.com', 'localhost:8080')
    """
    if port is None or port == DEFAULT_PORTS.get(scheme):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Gate(Generic[R]):
    """What an adapter is made of; its options are those that `brama.circuits.adapters` lists.

    Raises:
        ConfigError: an option is wrong.
    """

    failures: ClassVar[tuple[type[BaseException], ...]]
    """Exceptions of the client that speak of the connection."""
    neutral: ClassVar[tuple[type[BaseException], ...]]
    """Those among them that do not."""

    def __init__(
        self,
        *,
        circuits: Provider | None = None,
        circuit: Choice[R] = None,
        scope: str | None = None,
        policy: Policy | None = None,
        kind: ConnectionKind | str = ConnectionKind.SERVICE,
        failure_status: Statuses | None = None,
        probe: bool | Callable[[R], object] = True,
        max_circuits: int = 1000,
        **options: Unpack[Options],
    ) -> None:
        super().__init__()
        self._circuits = circuits
        self._choice = _check_choice(circuit)
        self._scope = check_scope(scope)
        self._policy = policy
        self._options = check_options(options)
        Policy(**self._options)  # here and not at the first request
        if policy is not None and (options or not isinstance(policy, Policy)):
            raise ConfigError("policy", "a brama.Policy, without single options", policy)
        self._kind = _check_kind(kind)
        self._fails = _check_statuses(failure_status)
        if not isinstance(probe, bool) and not callable(probe):
            raise ConfigError("probe", "True, False or a function of the request", probe)
        self._probe = probe
        self._limit = whole("max_circuits", max_circuits)
        self._hosts: Hosts | None = None

    def _host(self, request: R) -> str:
        """The name of the circuit of the host that the request is for."""
        raise NotImplementedError

    def _guard(self, request: R) -> Permit | None:
        """A guard for the request, not yet entered; None if it is to pass unguarded."""
        choice = self._choice
        chosen: Circuit | str | None
        if choice is None:
            chosen = self._host(request)
        elif isinstance(choice, Circuit | str):
            chosen = choice
        else:
            chosen = choice(request)
            if chosen is None:
                return None
        circuit = chosen if isinstance(chosen, Circuit) else self._made().circuit(chosen)
        probe = self._probe
        return circuit.guard(probe=bool(probe(request)) if callable(probe) else probe)

    def _made(self) -> Hosts:
        hosts = self._hosts
        if hosts is None:
            # Not in __init__: an adapter may be made where no system may be, at import.
            hosts = self._hosts = Hosts(
                default_home() if self._circuits is None else self._circuits,
                scope=self._scope,
                policy=self._policy,
                kind=self._kind,
                options=self._options,
                limit=self._limit,
            )
        return hosts

    def _answered(
        self,
        permit: Permit,
        response: object,
        status: int,
        headers: Mapping[str, str],
        reason: str = "",
    ) -> bool:
        """Look at the head of a response; whether it says how the call went.

        If it does not, the body is to be waited for.
        """
        verdict = self._verdict(permit._breaker.policy, response, status)
        if verdict is None or verdict[0] == SUCCESS:
            return False
        if verdict[0] == IGNORE:
            permit.ignore()
            return True
        # A date in the header is wall time, and so is what it is held against.
        wait = retry_after(headers.get("Retry-After"), now=_now(permit), date=headers.get("Date"))
        permit.failure(
            verdict[1] or f"HTTP {status} {reason}".rstrip(), retry_after=wait, error_code=status
        )
        return True

    def _verdict(
        self, policy: Policy, response: object, status: int
    ) -> tuple[str, str | None] | None:
        """What the policy's own functions make of the response, and then its status."""
        if policy.classify is not None:
            verdict = classified(policy, Outcome(result=response))
            if verdict is not None:
                return verdict
        fails = policy.record_result is not None and holds(policy.record_result, response)
        return (FAILURE, None) if fails or self._fails(status) else None

    def _failed(self, permit: Permit, error: BaseException) -> None:
        """Settle a call that raised, on the way or while its body was read."""
        if isinstance(error, (CircuitOpenError, *self.neutral)):
            permit.ignore()
        elif isinstance(error, self.failures) or not isinstance(error, Exception):
            permit.__exit__(type(error), error, None)  # the policy has its word, too
        else:
            permit.ignore()  # a bug on this side of the connection
        permit.__exit__(
            type(error), error, None
        )  # it may have been entered, and is not settled twice


class Wrapper(Gate[R], Generic[R, A]):
    """An adapter around another: the one that sends the requests.

    Args:
        transport: that other; one of the client's usual ones by default.
    """

    def __init__(
        self,
        transport: A | None = None,
        *,
        circuits: Provider | None = None,
        circuit: Choice[R] = None,
        scope: str | None = None,
        policy: Policy | None = None,
        kind: ConnectionKind | str = ConnectionKind.SERVICE,
        failure_status: Statuses | None = None,
        probe: bool | Callable[[R], object] = True,
        max_circuits: int = 1000,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            circuits=circuits,
            circuit=circuit,
            scope=scope,
            policy=policy,
            kind=kind,
            failure_status=failure_status,
            probe=probe,
            max_circuits=max_circuits,
            **options,
        )
        self._transport: A = self._usual() if transport is None else transport

    def _usual(self) -> A:
        """The client's own transport."""
        raise NotImplementedError


def _now(permit: Permit) -> float:
    return permit._breaker.shared.wall()


def _check_choice(choice: Choice[R]) -> Choice[R]:
    if isinstance(choice, str):
        check_name("circuit", choice)
    elif choice is not None and not isinstance(choice, Circuit) and not callable(choice):
        raise ConfigError("circuit", "a circuit, a name or a function of the request", choice)
    return choice


def _check_kind(kind: Any) -> ConnectionKind | str:
    if not isinstance(kind, str) or not kind.strip():
        raise ConfigError("kind", "one of " + ", ".join(ConnectionKind), kind)
    return kind


def _check_statuses(statuses: Any) -> Callable[[Any], object]:
    if statuses is None:
        return overloaded_or_broken
    if callable(statuses):
        return cast("Callable[[Any], object]", statuses)
    known = frozenset(statuses) if isinstance(statuses, Iterable) else {None}
    if all(isinstance(status, int) and 100 <= status <= 999 for status in known):
        return known.__contains__
    raise ConfigError("failure_status", "HTTP statuses, or a function of one", statuses)
