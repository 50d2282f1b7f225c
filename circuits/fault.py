"""What a failure is called by machines: the type of its error, and a code.

It is asked for while a transition is made, under the lock of the circuit. So nothing here calls
code of users: what an object says of itself is read from its own dict, past properties and
``__getattr__``.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable, Mapping
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, cast

import trio

from brama.telemetry import ConfigError, error_type

__all__ = ["NO_FAULT", "Code", "Fault", "check_fault", "fault_of"]

Code = str | int | None
"""The name of an errno (``"ECONNREFUSED"``), a status of HTTP (503), or what a report has named."""

Fault = tuple[str | None, Code]
"""Type and code; None where it is not known."""

NO_FAULT: Fault = (None, None)

LENGTH = 200
STEPS = 8
"""How far a chain of causes is followed: clients wrap what the socket has raised several times."""

# As C keeps them: a subclass may have put properties of its own into their place.
errno_of: Callable[[Any], Any] = OSError.__dict__["errno"].__get__
dict_of: Callable[[Any], Any] = BaseException.__dict__["__dict__"].__get__
args_of: Callable[[Any], Any] = BaseException.__dict__["args"].__get__
cause_of: Callable[[Any], Any] = BaseException.__dict__["__cause__"].__get__
context_of: Callable[[Any], Any] = BaseException.__dict__["__context__"].__get__
hides_context: Callable[[Any], Any] = BaseException.__dict__["__suppress_context__"].__get__
members_of: Callable[[Any], Any] = BaseExceptionGroup.__dict__["exceptions"].__get__

STAMP = "__brama_stamp__"
"""What a breaker knows an error by that it has counted; see `brama.circuits.breaker`."""

STATUSES = range(100, 600)
SPEAKS_OF_HTTP = ("status_code", "status", "code")
BY_CLASS = (
    # What Python itself raises without a number, for a time-out of its own for example.
    (ConnectionRefusedError, "ECONNREFUSED"),
    (ConnectionResetError, "ECONNRESET"),
    (ConnectionAbortedError, "ECONNABORTED"),
    (BrokenPipeError, "EPIPE"),
    (TimeoutError, "ETIMEDOUT"),
    (trio.TooSlowError, "ETIMEDOUT"),
)
RESOLVER = {value: name for name, value in vars(socket).items() if name.startswith("EAI_")}


class Known:
    """What is the same for all errors of a class; so it is found out once, not in a transition.

    Attributes:
        name: the type, None if each error has its own, as a group has.
        numbers: the names of its numbers, None if they are none of the system's.
        code: of those that have no number.
        group: whether it is a group.
    """

    __slots__ = ("code", "group", "name", "numbers")

    def __init__(self, error: BaseException) -> None:
        cls = type(error)
        self.group = issubclass(cls, BaseExceptionGroup)
        self.name = None if self.group else error_type(error)
        self.numbers: Mapping[int, str] | None = None
        if issubclass(cls, OSError):
            ssl = sys.modules.get("ssl")
            if ssl is None or not issubclass(cls, ssl.SSLError):
                self.numbers = RESOLVER if issubclass(cls, socket.gaierror) else errno.errorcode
        self.code = next((code for known, code in BY_CLASS if issubclass(cls, known)), None)


REMEMBERED = 256
_known: dict[type, Known] = {}


def fault_of(error: BaseException | None, result: object = None) -> Fault:
    """The type and the code of what a call has raised, or else of what it has returned.

    Example:
        >>> fault_of(ConnectionRefusedError(111, "Connection refused"))
        ('ConnectionRefusedError', 'ECONNREFUSED')

    The code is that of the error or of the nearest of its causes that has one: the name of its
    errno, or the status of the HTTP response that it speaks of.
    """
    try:
        if error is None:
            return NO_FAULT if result is None else (None, _status(result))
        known = _known.get(type(error)) or _know(error)
        if known.numbers is not None:
            code = known.numbers.get(errno_of(error))
            if code is not None:
                return known.name, code
        # Mostly nothing but its class can tell: that is seen here, without a further call.
        said = args_of(error)
        fields = dict_of(error)
        if (
            known.name is not None
            and (not said or type(said[0]) is str)
            and (not fields or (len(fields) == 1 and STAMP in fields))
            and cause_of(error) is None
            and context_of(error) is None
        ):
            return known.name, known.code
        return known.name or error_type(error), _code(error, known)
    except Exception:  # noqa: BLE001 - whatever it is, the circuit opens because of it
        return NO_FAULT


def _know(error: BaseException) -> Known:
    if len(_known) >= REMEMBERED:
        _known.clear()
    known = _known[type(error)] = Known(error)
    return known


def _code(error: BaseException, known: Known) -> Code:
    waiting: list[BaseException] = []
    for _ in range(STEPS):
        fields = dict_of(error)
        code = _said(error, known, fields)
        if code is not None:
            return code
        # The nearest last, which is the next.
        causes = (
            None if hides_context(error) else context_of(error),
            cause_of(error),
            *(members_of(error)[:1] if known.group else ()),
            *args_of(error)[:1],
            fields.get("reason"),  # of urllib and urllib3
        )
        waiting += [
            one for one in causes if one is not None and issubclass(type(one), BaseException)
        ]
        if not waiting:
            return None
        error = waiting.pop()
        known = _known.get(type(error)) or _know(error)
    return None


def _said(error: BaseException, known: Known, fields: dict[str, Any]) -> Code:
    """What the error itself says, whatever it came from."""
    if known.numbers is not None:
        code = known.numbers.get(errno_of(error))
        if code is not None:
            return code
    elif known.code is None and issubclass(type(error), OSError):
        reason = fields.get("reason")  # of TLS, whose numbers are its own
        if type(reason) is str:
            return reason
    status = _status_in(fields)
    if status is None and "response" in fields:
        status = _status(fields["response"])
    return known.code if status is None else status


def _status(response: object) -> int | None:
    return _status_in(_fields(response))


def _status_in(fields: dict[str, Any]) -> int | None:
    for name in SPEAKS_OF_HTTP:
        value = fields.get(name)
        if value is not None and issubclass(type(value), int):
            number = int.__index__(cast("int", value))  # a plain one, of an `http.HTTPStatus` too
            if number in STATUSES:
                return number
    return None


def _fields(thing: object) -> dict[str, Any]:
    """The dict of an object, as Python itself keeps it."""
    for cls in type.__dict__["__mro__"].__get__(type(thing)):
        found = cls.__dict__.get("__dict__")
        if type(found) in (GetSetDescriptorType, MemberDescriptorType):
            return cast("dict[str, Any]", found.__get__(thing))
        if found is not None:
            break
    return {}


def check_fault(error_type: Any, error_code: Any) -> Fault | None:
    """What a report names, None if it names nothing.

    Raises:
        ConfigError: a type that is no text, or a code that is neither a text nor a whole number.
    """
    if error_type is None and error_code is None:
        return None
    if error_type is not None and (not isinstance(error_type, str) or not error_type):
        raise ConfigError("error_type", "a text or None", error_type)
    if error_code is not None and (
        isinstance(error_code, bool)
        or not isinstance(error_code, str | int)
        or (isinstance(error_code, str) and not error_code)
    ):
        raise ConfigError("error_code", "a text, a whole number or None", error_code)
    if isinstance(error_code, str):
        error_code = error_code[:LENGTH]
    return (error_type and error_type[:LENGTH], error_code)
