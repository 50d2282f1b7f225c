"""Pools: a hundred thousand connections are not a hundred thousand series."""

from __future__ import annotations

import threading

import pytest

from brama.telemetry import pool
from brama.telemetry.pools import Pools


def test_a_connection_is_its_own_pool() -> None:
    assert pool("payment_api") == "payment_api"


@pytest.mark.requirement("MT-01")
def test_the_first_two_hundred_names_are_kept_and_later_ones_are_other() -> None:
    names = [f"c{n}" for n in range(300)]

    assert [pool(name) for name in names] == names[:200] + ["other"] * 100
    assert [pool(name) for name in names[:200]] == names[:200]


def test_the_overflow_is_told_once_and_names_the_first(caplog: pytest.LogCaptureFixture) -> None:
    pools = Pools(limit=1)
    for name in ("a", "b", "c", "b"):
        pools.name(name)

    (record,) = caplog.records
    assert record.getMessage() == (
        "more than 1 connections: 'b' and later ones are counted as pool='other' in metrics"
    )


def test_a_hundred_thousand_names_leave_no_more_than_two_hundred_behind() -> None:
    pools = Pools()
    for n in range(100_000):
        pools.name(f"c{n}")

    assert len(pools._known) == 200


def test_threads_that_name_new_connections_at_once_stay_within_the_limit() -> None:
    pools = Pools(limit=50)
    barrier = threading.Barrier(8)
    kept: list[str] = []

    def name_them(prefix: int) -> None:
        barrier.wait()
        kept.extend(got for n in range(50) if (got := pools.name(f"{prefix}-{n}")) != "other")

    threads = [threading.Thread(target=name_them, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(kept) == len(set(kept)) == 50
