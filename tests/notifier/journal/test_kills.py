"""What was acknowledged is there, however the processes ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

requirement = pytest.mark.requirement

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="it asks Linux whose transaction is open"
)


def killed(folder: Path, rounds: int, seed: int) -> dict:
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("killing.py")),
            folder,
            str(rounds),
            str(seed),
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    print(
        f"{seen['kills']} kills, {seen['under_way']} of them within a transaction; "
        f"{seen['acknowledged']} turns acknowledged, {seen['events']} events in the file, "
        f"{seen['heard_again']} heard again"
    )
    return seen


def check(seen: dict) -> None:
    assert seen["acknowledged"] > 0
    assert seen["missing"] == 0
    assert (seen["sound"], seen["findings"]) == (True, [])
    assert seen["sources"] == 2  # those who came later took the places of those who were killed
    assert (seen["unheard"], seen["strangers"]) == (0, 0)
    assert seen["out_of_order"] == 0
    assert seen["unmarked_repeats"] == 0


@requirement("EV-14")
def test_two_processes_that_are_killed_while_they_write_lose_nothing(tmp_path):
    seen = killed(tmp_path, rounds=8, seed=1)
    check(seen)
    assert seen["kills"] == 16
    assert seen["under_way"] >= 10


@pytest.mark.soak
@requirement("EV-14")
def test_two_hundred_kills_lose_nothing(tmp_path):
    seen = killed(tmp_path, rounds=100, seed=2)
    check(seen)
    assert seen["kills"] == 200
    assert seen["under_way"] >= 150
