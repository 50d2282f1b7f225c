"""The demonstration from end to end, over real sockets."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .conftest import Start

Show = Future[subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def shows(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Show]]:
    """Each of the demonstrations, two at a time: they mostly wait."""
    with ThreadPoolExecutor(2) as threads:
        yield {
            "healing": threads.submit(start, "demo", "--duration", "5", "--seed", "3", "--json"),
            "never healing": threads.submit(
                start, "demo", "--duration", "4", "--json", prelude=NEVER_WELL
            ),
            "unheard": threads.submit(
                unheard_show, start, tmp_path_factory.mktemp("demo") / "took"
            ),
        }


@pytest.fixture
def done(shows: dict[str, Show]) -> subprocess.CompletedProcess[str]:
    return shows["healing"].result()


@pytest.fixture
def summary(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_expectation_holds(
    done: subprocess.CompletedProcess[str], summary: dict[str, Any]
) -> None:
    wrong = [one for one in summary["expectations"] if one["verdict"] != "ok"]

    assert wrong == []
    assert summary["verdicts"] == {"ok": 21}
    assert summary["ok"] is True
    assert done.returncode == 0
    assert done.stderr == ""


def test_only_the_broken_upstreams_open_their_circuits_and_all_are_closed_in_the_end(
    summary: dict[str, Any],
) -> None:
    circuits = summary["circuits"]

    assert {name: bool(one["transitions"]) for name, one in circuits.items()} == {
        "catalog": False,
        "payments": True,
        "search": True,
    }
    assert {one["state"] for one in circuits.values()} == {"closed"}
    assert all(circuits[name]["refused"] > 0 for name in ("payments", "search"))


def test_each_circuit_counts_what_its_callers_counted(summary: dict[str, Any]) -> None:
    circuits, runtimes = summary["circuits"].values(), summary["runtimes"].values()

    for theirs, ours in [
        ("successes", "succeeded"),
        ("failures", "failed"),
        ("refused", "refused"),
    ]:
        assert sum(one[theirs] for one in circuits) == sum(one[ours] for one in runtimes)


def test_the_pager_failed_once_and_the_two_handlers_that_fell_were_restarted(
    summary: dict[str, Any],
) -> None:
    subscribers = summary["subscribers"]

    assert {name: one["restarts"] for name, one in subscribers.items()} == {
        "Journal": 0,
        "Pager": 1,
        "Ledger": 1,
        "Dashboard": 0,
    }
    assert subscribers["Pager"]["failures"] == 1


def test_one_trace_leads_from_the_failing_call_to_the_handlers(summary: dict[str, Any]) -> None:
    drawn = summary["telemetry"]["trace"]
    depths = [
        (len(line) - len(line.lstrip("│ ├└─")), line.lstrip("│ ├└─").split("  ")[0])
        for line in drawn
    ]

    assert depths[0] == (0, "request payments")
    assert "ERROR UpstreamError" in drawn[0]
    assert depths[1] == (3, "transition open")
    assert {name for depth, name in depths if depth == 6} == {
        "publish state_change",
        "publish circuit_opened",
    }
    assert all(name.startswith("process ") for depth, name in depths if depth == 9)
    assert sum("ERROR ConnectionResetError" in line for line in drawn) == 1


def test_as_many_spans_arrived_as_there_were_calls_and_changes(summary: dict[str, Any]) -> None:
    spans = summary["telemetry"]["spans"]
    calls = sum(one["attempts"] for one in summary["runtimes"].values())
    changes = sum(len(one["transitions"]) for one in summary["circuits"].values())

    assert sum(count for name, count in spans.items() if name.startswith("request ")) == calls
    assert sum(count for name, count in spans.items() if name.startswith("transition ")) == changes


# The fault is in the world and not in the check: nothing ever gets well again.
NEVER_WELL = """
from brama.demo.upstreams import Condition, Upstreams
put = Upstreams.put
def never(self, name, condition):
    if condition is not Condition.HEALTHY:
        put(self, name, condition)
Upstreams.put = never
"""


def test_upstreams_that_never_heal_make_it_fail(shows: dict[str, Show]) -> None:
    done = shows["never healing"].result()
    summary = json.loads(done.stdout)
    failed = [one["text"] for one in summary["expectations"] if one["verdict"] == "FAILED"]

    assert done.returncode == 1
    assert summary["ok"] is False
    assert failed[0] == "healed upstreams were probed and their circuits closed"


# From when all is loaded, which a busy machine may take long for, to after all other exit handlers.
TIMED = """
import atexit, pathlib, time
import brama.demo.run
begin = time.monotonic()
atexit.register(lambda: pathlib.Path({!r}).write_text(str(time.monotonic() - begin)))
"""


def unheard_show(start: Start, took: Path) -> subprocess.CompletedProcess[str]:
    """In plain lines, with a collector of the user's that is dead."""
    done = start(
        "demo",
        "--duration",
        "4",
        prelude=TIMED.format(str(took)),
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
    )
    assert float(took.read_text()) < 4 + 6  # the drain, and the two seconds of the exporter
    return done


@pytest.fixture
def unheard(shows: dict[str, Show]) -> subprocess.CompletedProcess[str]:
    return shows["unheard"].result()


def test_without_a_terminal_it_prints_plain_lines(
    unheard: subprocess.CompletedProcess[str],
) -> None:
    lines = unheard.stdout.splitlines()

    assert "\x1b" not in unheard.stdout
    assert any("script     payments begins to answer 500" in line for line in lines)
    assert any("Pager" in line and "raised ConnectionResetError" in line for line in lines)
    assert any("Ledger" in line and "killed" in line for line in lines)
    assert any("Ledger" in line and "redelivered" in line for line in lines)
    assert unheard.stderr == ""


def test_a_dead_collector_is_named_and_nothing_is_claimed_about_arrival(
    unheard: subprocess.CompletedProcess[str],
) -> None:
    assert "http://127.0.0.1:1 did not take the spans" in unheard.stdout
    assert "All 16 expectations held, 5 could not be checked." in unheard.stdout
    assert unheard.returncode == 0
