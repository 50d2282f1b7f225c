"""The example programs do what they show, each in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def lines_of(program: str) -> list[str]:
    """What `program` prints when it ends well and complains of nothing."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BRAMA_", "OTEL_"))
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / program)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def in_order(lines: list[str], *starts: str) -> None:
    """The first line with each of these beginnings stands below that of the one before."""
    found = [next((i for i, line in enumerate(lines) if line.startswith(s)), -1) for s in starts]
    assert -1 not in found, (starts, lines)
    assert found == sorted(found), (starts, lines)


def test_every_example_has_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")

    assert [
        path.name for path in EXAMPLES.glob("*.py") if f'lines_of("{path.name}")' not in text
    ] == []


def test_sync_service_stops_asking_a_broken_upstream() -> None:
    lines = lines_of("sync_service.py")

    in_order(lines, "healthy: 4.20", "broken: 40 shown", "healed: 4.20")
    in_order(
        lines,
        "* price_api is open: HTTPError: HTTP Error 503",
        "* price_api is half_open: expiry elapsed",
        "* price_api is closed: probe succeeded",
    )
    calls, failed, refused = (int(word) for word in lines[-1].split() if word.isdigit())
    assert 3 <= failed <= 6  # three trip it; the other three workers may be under way by then
    assert calls == failed + 2
    assert refused == 40 - failed


def test_asyncio_service_sends_one_probe_however_many_wait() -> None:
    lines = lines_of("asyncio_service.py")

    in_order(
        lines,
        "healthy: {'found': 20}",
        "breaking: {'failed': 5}",
        "broken: {'refused': 1000}",
        "probing: {'found': 1, 'refused': 19}",
        "healed: {'found': 20}",
    )
    in_order(
        lines,
        "* search is open: HTTP 503",
        "* search is half_open: expiry elapsed",
        "* search is closed: probe succeeded",
    )


def test_trio_service_counts_time_outs_and_no_cancellations() -> None:
    lines = lines_of("trio_service.py")

    assert [line for line in lines if not line.startswith("*")] == [
        "stock: 12 x tea",
        "failures after a cancelled call: 0",
        "stock: no answer in time",
        "stock: no answer in time",
        "stock: not asked, because of TooSlowError",
        "stock: not asked, because of TooSlowError",
        "stock: 12 x tea",
    ]
    assert [line for line in lines if line.startswith("*")] == [
        "* stock is open: TooSlowError",
        "* stock is half_open: expiry elapsed",
        "* stock is closed: probe succeeded",
    ]


def test_handler_actor_is_given_again_what_it_crashed_over() -> None:
    lines = lines_of("handler_actor.py")

    assert [line for line in lines if line.startswith("pager:")] == [
        "pager: (crash) 1. circuit_opened eu/mail",
        "pager: 1. circuit_opened eu/mail (again)",
        "pager: 2. circuit_closed eu/mail",
    ]
    assert any("handler  (Pager, async, running, restarts 1)" in line for line in lines)


def test_http_clients_go_on_with_the_mirror_that_is_up_and_close_by_a_health_check() -> None:
    assert lines_of("http_clients.py") == [
        "healthy: {'article from north': 2}",
        "one broken: {'article from south': 20}",
        "asked in vain: 2",  # half of the first four, with which the window begins to judge
        "why: HTTP 503 Service Unavailable",
        "the group is available: True",
        "healed: {'article from north': 2}",
    ]


def test_journal_hands_over_first_what_the_pager_has_missed() -> None:
    assert lines_of("journal.py") == [
        "the pager listens",
        "  page 2: payments circuit_opened, connection refused",
        "nobody listens",
        "the pager is back",
        "  page 4: payments circuit_opened, HTTP 503",
        "  page 6: payments circuit_closed, the provider has apologised",
        "opened in the last hour: ['connection refused', 'HTTP 503']",
    ]


def test_supervision_tree_restarts_what_belongs_together_and_loses_only_what_was_in_memory() -> (
    None
):
    lines = lines_of("supervision_tree.py")

    assert lines[:4] == [
        "sold: [3, 4] sum: 7",
        "after the crash: [3, 4] sum: 0",
        "delivered tea",
        "market  (Supervisor, async, running)",
    ]
    assert "rest_for_one" in lines[4]
    assert [line[4:] for line in lines[5:7]] == [
        "├── till  (Till, blocking, running, restarts 1)",
        "└── counter  (Counter, inline, running, restarts 1)",
    ]
