"""The header Retry-After, read."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from brama.circuits.adapters.gate import host_name
from brama.circuits.adapters.retry_after import retry_after

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), (" 120 ", 120.0), ("1.5", 1.5), ("999999999999", 999999999999.0)],
)
def test_seconds_are_read(value, seconds):
    assert retry_after(value, now=NOW) == seconds


def test_a_date_is_the_time_until_then():
    assert retry_after(formatdate(NOW + 90, usegmt=True), now=NOW) == 90.0


@pytest.mark.parametrize(
    "value",
    [
        "Tuesday, 14-Nov-23 22:14:50 GMT",
        "Tue Nov 14 22:14:50 2023",
        "Tue, 14 Nov 2023 22:14:50 +0000",
        "Tue, 14 Nov 2023 22:14:50 -0000",
    ],
)
def test_the_older_forms_of_a_date_are_read_too(value):
    assert retry_after(value, now=NOW) == 90.0


def test_a_clock_that_is_wrong_here_or_there_does_not_matter():
    date, later = formatdate(5_000, usegmt=True), formatdate(5_030, usegmt=True)
    assert retry_after(later, now=NOW, date=date) == 30.0
    assert retry_after(formatdate(NOW + 30, usegmt=True), now=NOW, date="nonsense") == 30.0


@pytest.mark.parametrize(
    "value",
    [None, "", "0", "-7", "soon", "1e9", "٣", "1" * 400, "Tue, 99 Foo 2023", "7, 9",
     formatdate(NOW - 1, usegmt=True), formatdate(NOW, usegmt=True)],
)  # fmt: skip
def test_what_asks_for_no_wait_is_none(value):
    assert retry_after(value, now=NOW) is None


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (("https", "api.example.com", 443), "api.example.com"),
        (("https", "api.example.com", None), "api.example.com"),
        (("http", "api.example.com", 443), "api.example.com:443"),
        (("http", "::1", 80), "::1"),
        (("http", "::1", 8080), "[::1]:8080"),
    ],
)
def test_a_host_is_named_with_its_port_where_that_is_not_the_usual_one(address, name):
    assert host_name(*address) == name
