"""Lists that a page repeats by hand are those of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import attrs
import typer

from brama import Settings
from brama.circuits import ALWAYS_ALLOWED, DATA, EVENTS, Event
from brama.cli import _app
from brama.notifier import event_schema
from brama.settings import NUMBERS, PREFIX

DOCS = Path(__file__).parents[2] / "docs"


def section(page: str, title: str) -> str:
    """The text of `page` under that heading."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def words(text: str, column: int = 0) -> set[str]:
    """What stands as code in one column of the tables of `text`."""
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| `")]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row[column])}


def test_page_of_events_explains_every_field_of_an_event() -> None:
    assert words(section("events/index.md", "Fields")) == {
        field.name for field in attrs.fields(Event)
    }


def test_every_key_of_the_data_of_events_is_explained_and_none_beyond() -> None:
    assert set(DATA) == {key for kind in EVENTS.values() for key in kind.data} | set(ALWAYS_ALLOWED)


def test_published_schema_is_that_of_the_code() -> None:
    published = json.loads((DOCS / "events/event.schema.json").read_text(encoding="utf-8"))

    assert published == event_schema(), (
        "write it anew: brama events schema > docs/events/event.schema.json"
    )


def test_page_of_settings_lists_every_variable() -> None:
    text = (DOCS / "howto/settings.md").read_text(encoding="utf-8")

    listed = {word for word in words(text) if word.startswith(PREFIX)}
    aliases = {"BRAMA_MAX_ATTEMPTS"}
    assert listed == {PREFIX + option.upper() for option in NUMBERS} | aliases
    assert Settings.from_environment({"BRAMA_MAX_ATTEMPTS": "7"}).options == {
        "failure_threshold": 7
    }


def test_every_page_is_linked_from_a_table_of_contents() -> None:
    contents = "".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("index.md"))

    for page in DOCS.rglob("*.md"):
        if page.name != "index.md" and "_build" not in page.parts:
            assert re.search(rf"^(\w+/)?{page.stem}$", contents, re.MULTILINE), page


def test_page_of_the_command_lists_every_command() -> None:
    page = (DOCS / "reference/cli.md").read_text(encoding="utf-8")
    top = typer.main.get_group(_app())
    names = {
        f"brama {name} {below}".strip()
        for name, command in top.commands.items()
        for below in getattr(command, "commands", [""])
    }

    assert words(page) == names


def test_links_of_the_readme_lead_somewhere() -> None:
    readme = DOCS.parent / "README.md"

    links = re.findall(r"\]\((?!https?:)([^)#]+)", readme.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (readme.parent / link).exists()] == []


def test_every_test_that_the_page_of_traps_names_exists() -> None:
    page = (DOCS / "circuits/traps.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    tests = DOCS.parent / "tests"
    there = {
        name
        for path in tests.rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 30
    assert named - there == set()


def test_the_page_on_the_architecture_names_every_file_of_the_facade() -> None:
    inside = (DOCS.parent / "src/brama").iterdir()
    files = {path.name for path in inside if path.suffix == ".py"} - {"__init__.py", "__main__.py"}

    assert words(section("architecture.md", "Four parts on four floors")) == {*files, "demo/"}
