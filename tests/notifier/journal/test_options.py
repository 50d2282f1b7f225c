"""What a journal may be told."""

from __future__ import annotations

from pathlib import Path

import pytest

import brama
from brama.notifier import JournalOptions
from brama.telemetry import ConfigError


@pytest.mark.parametrize(
    "given", ["sqlite:///{}", "{}", Path("{}"), "sqlite:///{}?sync=always&max_age=60"]
)
def test_a_journal_is_named_by_a_url_or_a_path(given, path):
    given = type(given)(str(given).format(path))
    assert JournalOptions.parse(given).path == path


def test_three_slashes_are_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert JournalOptions.parse("sqlite:///events.sqlite").path == tmp_path / "events.sqlite"


def test_the_options_of_a_url_are_read_by_their_kind(path):
    options = JournalOptions.parse(
        f"sqlite:///{path}?sync=never&max_age=None&max_events=5&source=a"
    )
    assert (options.sync, options.max_age, options.max_events) == ("never", None, 5)
    assert options.source == "a"


def test_options_and_nothing_stay_what_they_are(path):
    options = JournalOptions(path)
    assert JournalOptions.parse(options) is options
    assert JournalOptions.parse(None) is None
    assert JournalOptions.parse(options.url) == options


@pytest.mark.parametrize("name", ["żółć %41 #1?.sqlite", "a b"])
def test_the_url_of_a_file_names_the_same_file(tmp_path, name):
    options = JournalOptions(tmp_path / name)
    assert JournalOptions.parse(options.url) == options


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("redis://host", "sqlite:///path"),
        ("sqlite://host/x", "sqlite:///path"),
        ("sqlite:///", "the path of a file"),
        ("sqlite:///:memory:", "outlives the process"),
        ("", "the path of a file"),
        (" ", "outlives the process"),
        ("a\0b", "without a null character"),
        ("x" * 5000, "a path that can be used"),
        (5, "sqlite:///path, a path or JournalOptions"),
        ("sqlite:///x?max_age=soon", "max_age must be a number"),
        ("sqlite:///x?max_age=-1", "max_age must be"),
        ("sqlite:///x?max_events=0", "max_events must be"),
        ("sqlite:///x?sync=sometimes", "one of critical, always, never"),
        ("sqlite:///x?max_agee=1", "Did you mean 'max_age'?"),
        ("sqlite:///x?backlog=0", "backlog must be"),
        ("sqlite:///x?source=", "source must be"),
    ],
)
def test_a_wrong_journal_is_refused_where_it_is_given(given, says):
    with pytest.raises(ConfigError) as caught:
        brama.Settings(journal=given)
    assert says in str(caught.value)


def test_a_folder_is_no_journal(tmp_path):
    with pytest.raises(ConfigError, match="outlives the process"):
        JournalOptions(tmp_path)


def test_the_environment_names_the_journal_and_a_wrong_one_by_its_variable(path):
    settings = brama.Settings.from_environment({"BRAMA_JOURNAL": f"sqlite:///{path}"})
    assert settings.journal == JournalOptions(path)
    with pytest.raises(ConfigError, match="BRAMA_JOURNAL must be"):
        brama.Settings.from_environment({"BRAMA_JOURNAL": "redis://host"})


def test_without_a_journal_there_is_none(tmp_path):
    system = brama.System(brama.Settings())
    assert system.journal is None
    assert system.flush()
    with pytest.raises(ConfigError, match="journal must be set"):
        system.replay()
    with pytest.raises(ConfigError, match="only where there is a journal"):
        system.subscribe(print, durable="pager")
    system.stop()


def test_a_system_takes_a_journal_of_its_own_before_that_of_the_settings(path, tmp_path):
    settings = brama.Settings(journal=tmp_path / "other.sqlite")
    with brama.System(settings, journal=f"sqlite:///{path}") as system:
        assert system.journal.options.path == path
    assert not (tmp_path / "other.sqlite").exists()
    with pytest.raises(ConfigError, match="sqlite:///path"):
        brama.System(journal="redis://x")
