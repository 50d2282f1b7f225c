"""The commands ``brama events …``: look at a journal, also while other processes write it."""

from __future__ import annotations

import json
import re
import select
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from brama.circuits import ConnectionKind
from brama.notifier import (
    Entry,
    Event,
    JournalDamagedError,
    JournalError,
    JournalOptions,
    Replay,
    Trail,
    cloudevents,
    event_schema,
    verify,
)
from brama.telemetry import BramaError, ConfigError

__all__ = ["add_to"]

POLL = 0.25
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
FORMATS = ("jsonl", "cloudevents")


def add_to(app: Any) -> None:
    """Add the group ``events`` to the typer application `app`."""
    import typer

    events = typer.Typer(help="Look at the events in a journal.", no_args_is_help=True)
    app.add_typer(events, name="events")

    where = typer.Option(
        ..., "--journal", "-j", envvar="BRAMA_JOURNAL", help="sqlite:///path, or the path."
    )
    kinds = typer.Option([], "--event", "-e", help="Only this kind; may be repeated.")
    entries = typer.Option([], "--entry", "-t", help="Only this kind of entry; may be repeated.")
    connection = typer.Option(None, "--connection", "-c", help="Only this connection, or a glob.")
    scope = typer.Option(None, "--scope", "-s", help="Only this scope.")
    kind = typer.Option(
        None, "--kind", "-k", help="Only this kind of connection: " + ", ".join(ConnectionKind)
    )
    since = typer.Option(None, help="From here on: an ISO time with its zone, or 30s, 15m, 2h, 7d.")
    until = typer.Option(None, help="Up to here; as --since.")
    as_json = typer.Option(False, "--json", help="One JSON object per line.")

    @events.command()
    def show(
        id: str = typer.Argument("", help="Show this event alone, whole."),
        journal: str = where,
        event: list[str] = kinds,
        connection: str = connection,
        scope: str = scope,
        kind: str = kind,
        since: str = since,
        until: str = until,
        limit: int = typer.Option(100, "--limit", "-n", min=1, help="At most so many, the last."),
        json: bool = as_json,
    ) -> None:
        """Show the last events, or one of them."""

        def work() -> int:
            replay = _replay(journal, event, connection, scope, kind, since, until)
            if id:
                return _show_one(replay, id)
            for found in _last(replay, limit):
                _print(found, json=json)
            return 0

        raise typer.Exit(_run(work))

    @events.command()
    def tail(
        journal: str = where,
        event: list[str] = kinds,
        connection: str = connection,
        scope: str = scope,
        kind: str = kind,
        lines: int = typer.Option(10, "--lines", "-n", min=0, help="Of what was before."),
        follow: bool = typer.Option(True, help="Go on with what other processes append."),
        json: bool = as_json,
    ) -> None:
        """Show the last events, then every further one as it is appended."""

        def work() -> int:
            replay = _replay(journal, event, connection, scope, kind, None, None)
            # First the end: what is appended from here on is among the last rows, or behind them.
            last = _end(replay)
            for row_id, found in _last_rows(replay, lines):
                _print(found, json=json)
                last = max(last, row_id)
            while follow:
                for row in replay.rows(last):
                    _print(row.read(), json=json)
                    last = row.id
                if _unread(sys.stdout):
                    break
                time.sleep(POLL)
            return 0

        raise typer.Exit(_run(work))

    @events.command()
    def export(
        journal: str = where,
        event: list[str] = kinds,
        connection: str = connection,
        scope: str = scope,
        kind: str = kind,
        since: str = since,
        until: str = until,
        form: str = typer.Option("jsonl", "--format", "-f", help=" or ".join(FORMATS) + "."),
        output: str = typer.Option("-", "--output", "-o", help="A file; - is standard output."),
    ) -> None:
        """Write events as JSON lines, or as CloudEvents, one per line."""

        def work() -> int:
            if form not in FORMATS:
                raise ConfigError("--format", " or ".join(FORMATS), form)
            replay = _replay(journal, event, connection, scope, kind, since, until)
            replay.rows(limit=1)  # before a file is made: is there a journal at all?
            _check_output(output, _path(journal))
            if output == "-":
                _export(replay, form, sys.stdout)
            else:
                with Path(output).open("w", encoding="utf-8") as file:
                    written = _export(replay, form, file)
                print(f"{written} events written to {output}", file=sys.stderr)
            return 0

        raise typer.Exit(_run(work))

    @events.command()
    def trail(
        about: str = typer.Argument("", help="Only what concerns the event with this id."),
        journal: str = where,
        entry: list[str] = entries,
        connection: str = connection,
        scope: str = scope,
        subject: str = typer.Option(None, help="Only this subscription, order or table."),
        by: str = typer.Option(None, help="Only on behalf of this person."),
        since: str = since,
        until: str = until,
        limit: int = typer.Option(100, "--limit", "-n", min=1, help="At most so many, the last."),
        whole: bool = typer.Option(False, "--all", help="All of them, however many."),
        json: bool = as_json,
    ) -> None:
        """Show the audit trail: who has ordered, got, lost or tried to change what."""

        def work() -> int:
            found = Trail(
                _path(journal),
                since=_moment("--since", since),
                until=_moment("--until", until),
                entries=entry or None,
                connection=connection,
                scope=scope,
                subject=subject,
                by=by,
                event=about or None,
            )
            for one in found if whole else found.last(limit):
                print(one.to_json() if json else _trail_line(one), flush=not whole)
            return 0

        raise typer.Exit(_run(work))

    @events.command("verify")
    def verify_command(journal: str = where, json: bool = as_json) -> None:
        """Check that a journal is sound and that nothing is missing. Exit status 1 if not."""
        raise typer.Exit(_run(lambda: _verify(_path(journal), json=json)))

    @events.command()
    def schema() -> None:
        """Print the JSON Schema of an event."""
        print(json.dumps(event_schema(), indent=2))

    del show, tail, export, trail, verify_command, schema  # typer holds them


def _run(work: Callable[[], int]) -> int:
    try:
        return work()
    except (ConfigError, JournalError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"brama events: {error}", file=sys.stderr)
        return 2
    except BramaError as error:
        print(f"brama events: {error}", file=sys.stderr)
        return 1


def _path(journal: str) -> Path:
    options = JournalOptions.parse(journal)
    assert options is not None
    return options.path


def _check_output(output: str, path: Path) -> None:
    """Refuse to write over what is being read."""
    parts = [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))]
    if any(part.exists() and Path(output).exists() and part.samefile(output) for part in parts):
        raise ConfigError("--output", "another file than the journal", output)


def _replay(
    journal: str,
    events: list[str],
    connection: str | None,
    scope: str | None,
    kind: str | None,
    since: str | None,
    until: str | None,
) -> Replay:
    return Replay(
        _path(journal),
        since=_moment("--since", since),
        until=_moment("--until", until),
        events=events or None,
        connection=connection,
        scope=scope,
        kind=kind,
    )


def _moment(option: str, text: str | None) -> datetime | timedelta | None:
    if text is None:
        return None
    length = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if length:
        try:
            return timedelta(**{UNITS[length[2]]: float(length[1])})
        except OverflowError:
            raise ConfigError(option, "less than a million days", text) from None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(option, "an ISO time with its zone, or 30s, 15m, 2h, 7d", text) from None
    if time.tzinfo is None:
        raise ConfigError(
            option,
            "a time with its zone",
            text,
            hint="For UTC add Z to the time, as in 2026-01-31T12:00Z.",
        )
    return time


def _unread(file: TextIO) -> bool:
    """Whether nobody reads any more what is written: the ``head`` of a pipe has ended."""
    try:
        poll = select.poll()
        poll.register(file.fileno(), 0)  # an end of the other side is told unasked
        return bool(poll.poll(0))
    except (AttributeError, OSError, ValueError):  # Windows, or no file of the system at all
        return False


def _last(replay: Replay, count: int) -> Iterator[Event]:
    return (event for _, event in _last_rows(replay, count))


def _last_rows(replay: Replay, count: int) -> list[tuple[int, Event]]:
    return [(row.id, row.read()) for row in replay.last(count)] if count else []


def _end(replay: Replay) -> int:
    rows = replay.last(1)
    return rows[0].id if rows else 0


def _show_one(replay: Replay, id: str) -> int:
    row = replay.find(id)
    if row is None:
        print(f"brama events: there is no event with the id {id!r}", file=sys.stderr)
        return 1
    print(json.dumps(row.read().to_dict(), indent=2, ensure_ascii=False))
    return 0


def _print(event: Event, *, json: bool) -> None:
    print(event.to_json() if json else _line(event), flush=True)


def _line(event: Event) -> str:
    """An event for a person, in one line."""
    time = event.timestamp.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")
    name = event.connection if event.scope is None else f"{event.scope}/{event.connection}"
    data = event.data
    if "new_state" in data:
        what = f"{data['previous_state']} → {data['new_state']}"
        if data["reason"]:
            what += f": {data['reason']}"
    else:
        what = ", ".join(f"{key} {value}" for key, value in data.items() if value is not None)
    number = "" if event.seq is None else f"#{event.seq} "
    return _printable(
        f"{time}  {event.severity:<8} {event.event:<23} {name or '-'}  {number}{what}"
    )


def _trail_line(entry: Entry) -> str:
    """An entry of the trail for a person, in one line."""
    time = entry.timestamp.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")
    who = f"{entry.source or '-'}[{entry.process or '?'}]"
    if entry.by:
        who += f" by {entry.by}"
    name = "/".join(filter(None, (entry.scope, entry.connection)))
    rows = ""
    if entry.first is not None:
        rows = (
            f"row {entry.first}"
            if entry.first == entry.last
            else (f"rows {entry.first}-{entry.last}")
        )
    data = ", ".join(f"{key} {value}" for key, value in entry.data.items())
    parts = (f"{entry.entry:<18}", entry.subject or "", name, rows, entry.event_id or "", data)
    return _printable(f"{time}  {who:<16} " + "  ".join(part for part in parts if part))


def _printable(text: str) -> str:
    # What a remote service has said must not write on the terminal but letters.
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _export(replay: Replay, form: str, file: TextIO) -> int:
    written = 0
    for event in replay:
        if form == "jsonl":
            line = event.to_json()
        else:
            line = json.dumps(cloudevents.to_dict(event), ensure_ascii=False, separators=(",", ":"))
        file.write(line + "\n")
        written += 1
    file.flush()
    return written


def _verify(path: Path, *, json: bool) -> int:
    try:
        report = verify(path)
    except JournalDamagedError as error:  # so badly that nothing can be read
        print(_dumps({"ok": False, "error": str(error)}) if json else f"NOT WHOLE: {error}")
        return 1
    if json:
        import attrs

        print(_dumps({"ok": report.ok, **attrs.asdict(report)}))
        return 0 if report.ok else 1
    print(
        f"{report.events} events of {report.connections} connections from {report.sources} "
        f"source(s); {report.removed} removed by retention"
    )
    if report.told:
        print(f"{report.told} events were lost, and gap events say so")
    if report.refusals:
        print(f"{report.refusals} attempts to change the journal were refused")
    for finding in report.findings:
        print(f"  row {finding.where}: {finding.kind}: {finding.text}")
    print("sound, nothing is missing" if report.ok else f"NOT WHOLE: {report.counts}")
    return 0 if report.ok else 1


def _dumps(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
