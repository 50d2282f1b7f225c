"""The report: which requirements tests cover, and which are open."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator

import attrs

from .catalogue import Catalogue
from .claims import Claim


@attrs.frozen
class Report:
    """A catalogue held against the claims of the tests."""

    catalogue: Catalogue
    claims: tuple[Claim, ...]

    @property
    def covered(self) -> frozenset[str]:
        return frozenset(claim.id for claim in self.claims) & self.catalogue.ids

    @property
    def unknown(self) -> tuple[Claim, ...]:
        return tuple(claim for claim in self.claims if claim.id not in self.catalogue.ids)

    def lines(self) -> Iterator[str]:
        """The report as text, errors last."""
        for title, ids in self.catalogue.groups.items():
            done = [id_ for id_ in ids if id_ in self.covered]
            open_ = [id_ for id_ in ids if id_ not in self.covered]
            yield f"{title}: {len(done)} of {len(ids)}"
            yield from _paragraph("covered", done)
            yield from _paragraph("open", open_)
        total = len(self.catalogue.ids)
        yield f"requirements covered: {len(self.covered)}, open: {total - len(self.covered)}"
        for claim in self.unknown:
            yield f"error: {claim.path}:{claim.line}: {self.catalogue.advice(claim.id)}"


def runs(ids: Iterable[str]) -> list[str]:
    """Ids with neighbours drawn together: ``EV-01 EV-02 EV-03`` becomes ``EV-01…03``."""
    found: list[tuple[str, list[str]]] = []
    for id_ in ids:
        match = re.fullmatch(r"(.*?)(\d+)", id_)
        prefix, number = match.groups() if match else (id_, "")
        if (
            number
            and found
            and found[-1][0] == prefix
            and found[-1][1][-1]
            and int(found[-1][1][-1]) + 1 == int(number)
        ):
            found[-1][1].append(number)
        else:
            found.append((prefix, [number]))
    return [
        f"{prefix}{numbers[0]}" + (f"…{numbers[-1]}" if len(numbers) > 1 else "")
        for prefix, numbers in found
    ]


def _paragraph(label: str, ids: list[str]) -> list[str]:
    if not ids:
        return []
    return textwrap.wrap(
        " ".join(runs(ids)),
        width=100,
        initial_indent=f"  {label:8}",
        subsequent_indent=" " * 10,
        break_on_hyphens=False,
        break_long_words=False,
    )
