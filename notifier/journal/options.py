"""What a journal may be told: where its file is, how safe, and how long it keeps what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import attrs

from brama.circuits import check_name, seconds, whole
from brama.telemetry import ConfigError, unknown, unknown_option

__all__ = ["SYNC", "JournalOptions"]

SYNC = ("critical", "always", "never")
SCHEME = "sqlite:///"
DAY = 86_400.0


def _path(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ConfigError("journal", "the path of a file", value)
    path = Path(value)
    if str(value) == ":memory:" or not path.name or not str(value).strip():
        raise ConfigError("journal", "the path of a file that outlives the process", value)
    if "\0" in str(value):
        raise ConfigError("journal", "a path without a null character", value)
    try:
        is_folder = path.is_dir()
    except OSError as error:  # a name that is too long; a folder above it that is locked up
        raise ConfigError("journal", f"a path that can be used ({error.strerror})", value) from None
    if is_folder:
        raise ConfigError("journal", "the path of a file that outlives the process", value)
    # Absolute from here on: the process may change its folder later.
    return path.absolute()


def _sync(value: Any) -> str:
    if value not in SYNC:
        raise unknown("sync", value, SYNC)
    return str(value)


def _age(value: Any) -> float | None:
    return None if value is None else seconds("max_age", value)


def _max_events(value: Any) -> int | None:
    return None if value is None else whole("max_events", value, least=1)


def _max_bytes(value: Any) -> int | None:
    return None if value is None else whole("max_bytes", value, least=1 << 16)


def _backlog(value: Any) -> int:
    return whole("backlog", value, least=1)


def _busy_timeout(value: Any) -> float:
    return seconds("busy_timeout", value)


def _poll_interval(value: Any) -> float:
    return seconds("poll_interval", value)


def _source(value: Any) -> str:
    return check_name("source", value)


@attrs.frozen
class JournalOptions:
    """The file of a journal and its rules.

    Example:
        >>> JournalOptions("/var/lib/shop/events.sqlite", max_age=7 * 86400)
        >>> JournalOptions.parse("sqlite:////var/lib/shop/events.sqlite?max_age=604800")

    Options:
        path: of the SQLite file; its folder must exist. SQLite keeps ``-wal`` and ``-shm`` beside
            it.
        sync: ``"critical"`` (default) has the disk confirm each append with a critical event among
            it, ``"always"`` every append, ``"never"`` none: what was appended then survives the end
            of the process, but not that of the machine.
        max_age: seconds that an event is kept, 30 days; None keeps it.
        max_events: how many are kept at most, 1 000 000; None is no limit.
        max_bytes: how large the file may grow, 1 GiB; None is no limit.
        busy_timeout: seconds to wait for another process that writes, 5.0.
        backlog: events that wait in memory while the file cannot be written, 10 000.
        poll_interval: seconds between two looks for events of other processes, 0.25; only while a
            durable subscription lives here.
        source: what the events of this process are said to come from, ``brama``; a number is added,
            because several processes may share the file.

    Raises:
        ConfigError: one of them is wrong.
    """

    path: Path = attrs.field(converter=_path)
    sync: str = attrs.field(default="critical", converter=_sync, kw_only=True)
    max_age: float | None = attrs.field(default=30 * DAY, converter=_age, kw_only=True)
    max_events: int | None = attrs.field(default=1_000_000, converter=_max_events, kw_only=True)
    max_bytes: int | None = attrs.field(default=1 << 30, converter=_max_bytes, kw_only=True)
    busy_timeout: float = attrs.field(default=5.0, converter=_busy_timeout, kw_only=True)
    backlog: int = attrs.field(default=10_000, converter=_backlog, kw_only=True)
    poll_interval: float = attrs.field(default=0.25, converter=_poll_interval, kw_only=True)
    source: str = attrs.field(default="brama", converter=_source, kw_only=True)

    @classmethod
    def parse(cls, value: JournalOptions | str | Path | None) -> JournalOptions | None:
        """Options as they are, from a path, or from ``sqlite:///path?option=value``.

        Three slashes begin a path relative to the working folder, four an absolute one.

        Raises:
            ConfigError: it is none of these.
        """
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, Path):
            return cls(value)
        if not isinstance(value, str):
            raise ConfigError("journal", "sqlite:///path, a path or JournalOptions", value)
        if "://" not in value and not value.startswith("sqlite:"):
            return cls(value)
        if not value.startswith(SCHEME):
            raise ConfigError("journal", "sqlite:///path", value)
        path, _, query = value.removeprefix(SCHEME).partition("?")
        return cls(unquote(path), **_options(query))

    @property
    def url(self) -> str:
        """The file as `parse` reads it."""
        return f"{SCHEME}{quote(str(self.path))}"


_KINDS: Mapping[str, Callable[[str], Any]] = {
    "sync": str,
    "source": str,
    "max_events": int,
    "max_bytes": int,
    "backlog": int,
    "max_age": float,
    "busy_timeout": float,
    "poll_interval": float,
}
_MAY_BE_NONE = frozenset({"max_age", "max_events", "max_bytes"})


def _options(query: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _KINDS:
            raise unknown_option("an option of the journal", name, tuple(_KINDS))
        if text.lower() == "none" and name in _MAY_BE_NONE:
            given[name] = None
            continue
        try:
            given[name] = _KINDS[name](text)
        except ValueError:
            raise ConfigError(name, "a number", text) from None
    return given
