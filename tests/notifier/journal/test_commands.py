"""``brama events``: a journal on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import brama
from brama import cli
from brama.notifier import cloudevents, event_schema

requirement = pytest.mark.requirement

WITHIN = 30.0


@pytest.fixture
def run(path):
    """Runs the command on the journal of the test, which `BRAMA_JOURNAL` names."""

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(
            cli._app(), ["events", *arguments], env={"BRAMA_JOURNAL": str(path)}
        )

    return run


@pytest.fixture
def filled(systems):
    system = systems()
    circuit = system.circuit("payment_api", scope="payments")
    circuit.open_circuit("on \x1b[31mfire\n")
    circuit.close_circuit("mended")
    system.circuit("other").open_circuit("deploy")
    assert system.flush()
    return system


def test_show_prints_a_line_for_each_event_and_nothing_that_moves_the_cursor(filled, run):
    done = run("show", "-e", "state_change")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert "payments/payment_api  #1 closed → open: on �[31mfire" in lines[0]
    assert "error " in lines[0]
    assert "\x1b" not in done.stdout


@requirement("EV-08")
def test_every_command_is_limited_to_a_kind_of_connection(systems, run):
    system = systems()
    system.circuit("pump-7", kind="device").open_circuit()
    system.circuit("orders", kind="database").open_circuit()
    assert system.flush()
    for command in (["show", "--json"], ["tail", "--json", "--no-follow"], ["export"]):
        lines = run(*command, "--kind", "device").stdout.splitlines()
        assert {json.loads(line)["connection"] for line in lines} == {"pump-7"}
    wrong = run("show", "--kind", "pigeon")
    assert wrong.exit_code == 2
    assert "database" in wrong.stderr


def test_show_takes_the_last_ones_and_what_they_are_limited_to(filled, run):
    def shown(*limits: str) -> list[str]:
        done = run("show", "--json", *limits)
        return [json.loads(line)["event_id"] for line in done.stdout.splitlines()]

    events = list(filled.replay())
    assert shown() == [event.event_id for event in events]
    assert shown("-n", "2") == [event.event_id for event in events[-2:]]
    opened = [event.event_id for event in events if event.event == "circuit_opened"]
    assert shown("-e", "circuit_opened", "--since", "1h") == opened
    assert shown("-e", "circuit_opened", "-s", "payments") == opened[:1]
    assert shown("-c", "other", "-e", "circuit_opened") == opened[1:]
    assert shown("--until", "2020-01-01T00:00Z") == []


def test_show_one_event_whole(filled, run):
    [event] = filled.replay(events=["circuit_opened"], connection="other")
    done = run("show", event.event_id)
    assert brama.Event.from_json(done.stdout) == event
    missing = run("show", "nothing")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "there is no event with the id 'nothing'" in missing.stderr


@requirement("EV-14")
def test_export_writes_lines_that_are_the_events(filled, run, tmp_path, check_event):
    out = tmp_path / "events.jsonl"
    assert run("export", "-o", str(out)).exit_code == 0
    lines = out.read_text(encoding="utf-8").splitlines()
    assert [brama.Event.from_json(line) for line in lines] == list(filled.replay())
    for line in lines:
        check_event(json.loads(line))


@pytest.mark.parametrize("part", ["", "-wal"])
def test_export_does_not_write_over_the_journal_that_it_reads(filled, run, path, part):
    before = len(list(filled.replay()))
    done = run("export", "--output", f"{path}{part}")
    assert done.exit_code == 2
    assert "--output must be another file than the journal" in done.stderr
    assert len(list(filled.replay())) == before
    assert run("verify").exit_code == 0


def test_export_writes_cloudevents(filled, run):
    done = run("export", "--format", "cloudevents", "-e", "circuit_opened")
    read = [cloudevents.from_dict(json.loads(line)) for line in done.stdout.splitlines()]
    assert read == list(filled.replay(events=["circuit_opened"]))


def test_verify_says_that_all_is_there_or_what_is_not(filled, run, path):
    done = run("verify")
    assert done.exit_code == 0
    assert "sound, nothing is missing" in done.stdout
    filled.stop()
    path.write_bytes(path.read_bytes()[:5000])
    done = run("verify")
    assert done.exit_code != 0
    assert "sound" not in done.stdout


def test_schema_is_the_published_one(run):
    assert json.loads(run("schema").stdout) == event_schema()


def test_tail_follows_what_another_process_writes(filled, path):
    command = [sys.executable, "-m", "brama.cli", "events", "tail", "-n", "1", "--json"]
    with subprocess.Popen(
        [*command, "-e", "state_change"],
        env={**os.environ, "BRAMA_JOURNAL": str(path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(WITHIN, process.kill)
        watchdog.start()
        assert json.loads(process.stdout.readline())["data"]["reason"] == "deploy"
        filled.circuit("other").close_circuit("one")
        filled.circuit("other").open_circuit("two")
        further = [json.loads(process.stdout.readline())["data"]["reason"] for _ in range(2)]
        watchdog.cancel()
        process.kill()
    assert further == ["one", "two"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show"], "there is no journal at"),
        (["verify"], "there is no journal at"),
        (["export"], "there is no journal at"),
        (["tail"], "there is no journal at"),
        (["trail"], "there is no journal at"),
        (["show", "-j", "redis://x"], "journal must be sqlite:///path"),
        (["show", "--since", "yesterday"], "--since must be an ISO time"),
        (["show", "--since", "2026-01-01"], "a time with its zone"),
        (["show", "-e", "circuit_open"], "Did you mean 'circuit_opened'?"),
        (["show", "--since", f"{'9' * 30}w"], "--since must be less than a million days"),
        (["show", "-j", "x" * 5000], "journal must be a path that can be used"),
        (["export", "--format", "xml"], "--format must be jsonl or cloudevents"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_two(run, path, arguments, says):
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path(path).exists()


# The trail


@pytest.fixture
def ordered(filled):
    with brama.acting_as("ana"):
        filled.circuit("other").close_circuit("\x1b[2Jcleared\n")
    assert filled.flush()
    return filled


def test_the_trail_is_a_line_for_each_entry_and_nothing_that_moves_the_cursor(ordered, run):
    done = run("trail", "--by", "ana")
    assert done.exit_code == 0, done.stderr
    [line] = done.stdout.splitlines()
    assert f"brama-1[{os.getpid()}] by ana" in line
    assert "order_given         close_circuit  other  reason �[2Jcleared�" in line
    assert "\x1b" not in done.stdout


@requirement("AU-01")
def test_the_trail_as_json_is_what_the_trail_is(ordered, run):
    for arguments in (["--json"], ["--all", "--json"], ["-n", "9999", "--json"]):
        done = run("trail", *arguments)
        read = [json.loads(line) for line in done.stdout.splitlines()]
        assert read == [entry.to_dict() for entry in ordered.trail()]


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        (["-t", "order_*"], 4),
        (["-t", "order_*", "-n", "1"], 1),
        (["-t", "order_given", "-c", "oth*"], 2),
        (["-t", "order_given", "-c", "payment_api", "-s", "payments"], 2),
        (["--subject", "close_circuit"], 2),
        (["-t", "order_given", "--until", "2020-01-01T00:00Z"], 0),
        (["-t", "order_given", "--since", "1h"], 4),
    ],
)
def test_the_trail_is_limited_on_the_command_line(ordered, run, limits, found):
    assert len(run("trail", *limits).stdout.splitlines()) == found


def test_the_trail_says_what_became_of_one_event(filled, run):
    heard: list[brama.Event] = []
    filled.subscribe(heard.append, durable="pager", events=["circuit_opened"])
    filled.circuit("third").open_circuit()
    deadline = time.monotonic() + 10
    while not list(filled.trail(entries=["delivered"])) and time.monotonic() < deadline:
        time.sleep(0.01)
    [event] = filled.replay(connection="third", events=["circuit_opened"])
    [line] = run("trail", event.event_id).stdout.splitlines()
    assert "delivered           pager  row" in line
    assert "tries 1" in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["-t", "order_give"], "Did you mean 'order_given'?"), (["--since", "x"], "--since must be")],
)
def test_what_the_trail_cannot_show_is_one_line_and_status_two(ordered, run, arguments, says):
    done = run("trail", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr


def test_tail_shows_what_is_appended_while_it_shows_the_last_ones(filled, run, monkeypatch):
    from brama import journal_commands

    show = journal_commands._print

    def slowly(event: Any, **how: Any) -> None:
        if event.data["reason"] == "deploy":
            filled.circuit("other").close_circuit("meanwhile")
            assert filled.flush()
        show(event, **how)

    monkeypatch.setattr(journal_commands, "_print", slowly)
    monkeypatch.setattr(journal_commands, "_unread", lambda _stream: True)  # after one look
    done = run("tail", "-n", "1", "--json", "-e", "state_change")
    reasons = [json.loads(line)["data"]["reason"] for line in done.stdout.splitlines()]
    assert reasons == ["deploy", "meanwhile"]
