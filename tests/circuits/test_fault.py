"""What a failure is called by machines: read from any error, past all code of users."""

from __future__ import annotations

import errno
import http
import socket
import ssl
import urllib.error
from email.message import Message
from types import SimpleNamespace

import aiohttp
import httpx
import pytest
import requests
import trio
from urllib3.exceptions import MaxRetryError, NewConnectionError

from brama import ConfigError
from brama.circuits.fault import NO_FAULT, check_fault, fault_of

requirement = pytest.mark.requirement


def chained(outer: BaseException, inner: BaseException) -> BaseException:
    try:
        raise outer from inner
    except BaseException as error:
        return error


def with_status(cls, name: str, status: int) -> Exception:
    error = cls(f"{name} {status}")
    setattr(error, name, status)
    return error


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
RESPONSE = httpx.Response(503, request=httpx.Request("GET", "http://localhost"))


class Answering(Exception):
    """As HTTP clients have it: the status stands on the response."""

    def __init__(self, status: int) -> None:
        self.response = SimpleNamespace(status_code=status)


def answered() -> requests.Response:
    response = requests.Response()
    response.status_code = 502
    return response


@requirement("EV-11")
@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (REFUSED, "ConnectionRefusedError", "ECONNREFUSED"),
        (OSError(errno.EHOSTUNREACH, "No route"), "OSError", "EHOSTUNREACH"),
        (ConnectionResetError("peer"), "ConnectionResetError", "ECONNRESET"),
        (BrokenPipeError(), "BrokenPipeError", "EPIPE"),
        (TimeoutError("timed out"), "TimeoutError", "ETIMEDOUT"),
        (trio.TooSlowError(), "trio.TooSlowError", "ETIMEDOUT"),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "socket.gaierror", "EAI_NONAME"),
        (ssl.SSLError(1, "bad certificate"), "ssl.SSLError", None),
        (ValueError("no idea"), "ValueError", None),
        (OSError("no number"), "OSError", None),
        (chained(RuntimeError("lost"), REFUSED), "RuntimeError", "ECONNREFUSED"),
        (urllib.error.URLError(REFUSED), "urllib.error.URLError", "ECONNREFUSED"),
        (
            urllib.error.HTTPError("http://localhost", 503, "no", Message(), None),
            "urllib.error.HTTPError",
            503,
        ),
        (
            requests.ConnectionError(
                MaxRetryError(
                    None,  # type: ignore[arg-type]
                    "/",
                    chained(NewConnectionError(None, "no"), REFUSED),  # type: ignore[arg-type]
                )
            ),
            "requests.exceptions.ConnectionError",
            "ECONNREFUSED",
        ),
        (requests.HTTPError(response=answered()), "requests.exceptions.HTTPError", 502),
        (
            httpx.HTTPStatusError("bad", request=RESPONSE.request, response=RESPONSE),
            "httpx.HTTPStatusError",
            503,
        ),
        (chained(httpx.ConnectError("no"), REFUSED), "httpx.ConnectError", "ECONNREFUSED"),
        (
            aiohttp.ClientResponseError(None, (), status=http.HTTPStatus.BAD_GATEWAY),  # type: ignore[arg-type]
            "aiohttp.client_exceptions.ClientResponseError",
            502,
        ),
        (Answering(429), "tests.circuits.test_fault.Answering", 429),
        (with_status(ValueError, "code", 7), "ValueError", None),
        (with_status(ValueError, "status", True), "ValueError", None),
        (ExceptionGroup("both", [REFUSED]), "ConnectionRefusedError", "ECONNREFUSED"),
        (ExceptionGroup("both", [REFUSED, ValueError()]), "ExceptionGroup", "ECONNREFUSED"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_the_type_and_code_of_an_error(error, kind, code):
    found, number = fault_of(error)
    assert found is not None
    assert found.rpartition(".")[2] == kind.rpartition(".")[2]
    assert number == code
    assert type(number) in (str, int, type(None))


def test_the_code_of_a_response_that_counts_as_a_failure():
    assert fault_of(None, answered()) == (None, 502)
    assert fault_of(None, RESPONSE) == (None, 503)
    assert fault_of(None, "a text") == fault_of(None, {"status": 503}) == (None, None)
    assert fault_of(None) is NO_FAULT


def test_no_code_of_users_is_called():
    called = []

    class Sly(OSError):
        @property
        def errno(self):
            called.append("errno")

        @property
        def status(self):
            called.append("status")

        @property
        def __cause__(self):
            called.append("cause")

        @property
        def args(self):
            called.append("args")

        def __getattribute__(self, name):
            called.append(name)
            return super().__getattribute__(name)

        def __eq__(self, other):
            called.append("eq")
            return True

        __hash__ = None

    error = Sly(errno.EPIPE, "broken")
    called.clear()
    assert fault_of(error)[1] == "EPIPE"
    assert called == []


def test_errors_that_cause_each_other_come_to_an_end():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert fault_of(one) == ("ValueError", None)


def test_an_error_that_breaks_while_it_is_asked_costs_nothing_but_its_name():
    class Odd(type):
        @property
        def __module__(cls):
            raise ZeroDivisionError

    class Strange(Exception, metaclass=Odd):
        pass

    assert fault_of(Strange()) == NO_FAULT


@requirement("EV-11")
def test_a_report_names_its_type_and_code():
    assert check_fault(None, None) is None
    assert check_fault("Modbus", 4) == ("Modbus", 4)
    assert check_fault(None, "E42") == (None, "E42")
    assert check_fault("x" * 999, "y" * 999) == ("x" * 200, "y" * 200)


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("error_type", 7),
        ("error_type", ""),
        ("error_type", ValueError),
        ("error_code", ""),
        ("error_code", True),
        ("error_code", 4.5),
        ("error_code", b"E42"),
    ],
)
def test_a_report_that_names_something_else_is_refused(world, option, wrong):
    circuit = world.circuit(failure_threshold=1)
    for report in (circuit.failure, circuit.try_acquire().failure):
        with pytest.raises(ConfigError, match=option):
            report("bad", **{option: wrong})
    assert circuit.state == "closed"
