"""The catalogue: every requirement that a test may claim, by group."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path

import attrs


class CatalogueError(ValueError):
    """The catalogue file contradicts itself; the text says where."""


@attrs.frozen
class Catalogue:
    """Requirement ids and their titles.

    ``groups`` maps the title of a group to its ids, each with a title of its own, in the order
    of the file.
    """

    groups: Mapping[str, Mapping[str, str]]

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(id_ for ids in self.groups.values() for id_ in ids)

    def advice(self, unknown: str) -> str:
        """What to tell someone who claimed ``unknown``."""
        near = difflib.get_close_matches(unknown, self.ids, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"requirement {unknown!r} is not in tests/requirements.toml{hint}"


def load(path: Path) -> Catalogue:
    """Read a catalogue; raises `CatalogueError` when an id stands in two groups."""
    groups: dict[str, Mapping[str, str]] = {}
    home: dict[str, str] = {}
    for name, group in tomllib.loads(path.read_text(encoding="utf-8")).items():
        for id_ in group["ids"]:
            if id_ in home:
                raise CatalogueError(f"{path}: {id_!r} stands in [{home[id_]}] and in [{name}]")
            home[id_] = name
        groups[group["title"]] = group["ids"]
    return Catalogue(groups)
