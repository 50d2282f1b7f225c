"""Publishing: the page, its charts and the README's tables, all from one document of a run.

Nothing is measured here, so the same document always makes the same files; a test holds the files
against the document that stands beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .chart import Bar, Panel, Point, bars, curves, short
from .sections import GUARDS, OTHERS, SECTIONS, Section

__all__ = ["FIGURES", "FOLDER", "files", "publish"]

ROOT = Path(__file__).parents[1]
FOLDER = Path("docs/performance")
FIGURES = FOLDER / "figures.json"
README = Path("README.md")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
PEERS = ("circuitbreaker", "pybreaker", "aiobreaker", "purgatory", "interlock")
COUNTS_ONLY = {("guard", "circuitbreaker"), ("call", "circuitbreaker")}
"""Forms of a peer that never refuse."""

Outcomes = Mapping[str, Mapping[str, Any]]


def publish(document: Mapping[str, Any], root: Path = ROOT) -> list[Path]:
    """Write everything that `document` says, and take away charts that it has no figures for."""
    made = files(document, (root / README).read_text(encoding="utf-8"))
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        if FOLDER / old.name not in made:
            old.unlink()
    for path, text in made.items():
        (root / path).write_text(text, encoding="utf-8")
    return sorted(made)


def files(document: Mapping[str, Any], readme: str) -> dict[Path, str]:
    """What `publish` writes, by path from the root.

    Raises:
        ValueError: the README has no place for the tables.
    """
    outcomes: Outcomes = {one["bench"]: one for one in document["outcomes"]}
    made = {FIGURES: json.dumps(document, indent=1, ensure_ascii=False) + "\n"}
    page = [*_head(document)]
    for section in SECTIONS:
        found = [outcomes[name] for name in section.benches if name in outcomes]
        if found:
            page += _section(section, found, made)
    made[FOLDER / "figures.md"] = "\n".join(page) + "\n"
    made[README] = _readme(document, outcomes, readme)
    return made


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    machine = document["machine"]
    versions = ", ".join(f"{name} {said}" for name, said in machine["versions"].items() if said)
    absent = ", ".join(name for name, said in machine["versions"].items() if not said)
    yield "# Figures"
    yield ""
    yield (
        f"Measured on {document['date']} by `make bench`, "
        + ("roughly, " if document["quick"] else "")
        + f"with {machine['python']} on {machine['system']}, {machine['processor']}, "
        f"{machine['cores']} cores, {_load(machine['load'])} at the start. {versions}."
    )
    if absent:
        yield f"Not installed, and so left out: {absent}."
    yield ""
    yield (
        "Medians of interleaved rounds; ± is the 95 % interval of the median. A ratio is Brama's "
        "figure to the other's, taken within each round: below 1 is less time or memory, and for "
        "what is counted per second above 1 is more of it. *noisy* stands where the run could not "
        "tell. [How it is measured](index.md)."
    )


def _load(load: float | None) -> str:
    return "an unknown load" if load is None else f"load {load:.2f}"


def _section(
    section: Section, found: Sequence[Mapping[str, Any]], made: dict[Path, str]
) -> Iterator[str]:
    yield ""
    yield f"## {section.title}"
    yield ""
    yield section.text
    plain = [one for one in found if not one["axis"]]
    panels = [panel for one in plain if len((panel := _panel(one)).bars) > 1]
    if panels:
        made[FOLDER / f"{section.name}.svg"] = bars(panels)
        yield ""
        yield f"![{section.title}, as a chart]({section.name}.svg)"
    for one in found:
        if one["axis"] and (lines := _lines(one)):
            made[FOLDER / f"{one['bench']}.svg"] = curves(
                one["title"], one["axis"], one["unit"], lines
            )
            yield ""
            yield f"![{one['title']}, as a chart]({one['bench']}.svg)"
    yield ""
    yield "| | | median | ± | ratio | budget | |"
    yield "| --- | --- | ---: | ---: | ---: | --- | --- |"
    for one in found:
        yield from _rows(one)


def _panel(one: Mapping[str, Any]) -> Panel:
    return Panel(
        f"{one['bench']}: {one['title']}",
        one["unit"],
        [
            Bar(name, figure["median"], figure["low"], figure["high"], ours=not place)
            for place, (name, figure) in enumerate(one["figures"].items())
            if not figure["noisy"]
        ],
    )


def _lines(one: Mapping[str, Any]) -> dict[str, list[Point]]:
    lines = {}
    for series, line in one["curves"].items():
        points = [
            Point(point["at"], figure["median"], figure["low"], figure["high"])
            for point in line
            for figure in [one["figures"][point["contender"]]]
            if not figure["noisy"] and figure["median"] > 0
        ]
        if points:
            lines[series] = points
    return lines


def _rows(one: Mapping[str, Any]) -> Iterator[str]:
    unit = one["unit"]
    left = list(one["budgets"])
    for place, (name, figure) in enumerate(one["figures"].items()):
        mine = [row for row in left if row["beside"] in ((name,) if place else (None, name))]
        what = f"**{one['bench']}**: {one['title']}" if not place else ""
        ratio = _ratio(one, name) if place and name in one["ratios"] else ""
        head = f"| {what} | {name} | {_amount(figure, unit)} | {_half(figure)} | {ratio} |"
        yield f"{head} {'<br>'.join(row['budget'] for row in mine)} | " + (
            f"{'<br>'.join(row['verdict'] for row in mine)} |"
        )
        left = [row for row in left if row not in mine]
    for row in left:
        yield f"| | {row['beside']} | | | | {row['budget']} | {row['verdict']} |"


def _amount(figure: Mapping[str, Any], unit: str) -> str:
    return "noisy" if figure["noisy"] else short(figure["median"], unit)


def _half(figure: Mapping[str, Any]) -> str:
    if figure["samples"] == 1:
        return "one run"
    if not figure["median"]:
        return ""
    half = max(figure["high"] - figure["median"], figure["median"] - figure["low"])
    return f"{half / figure['median']:.0%}"


def _ratio(one: Mapping[str, Any], name: str) -> str:
    ratio = one["ratios"].get(name)
    return "noisy" if ratio is None else _times(ratio["median"])


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _readme(document: Mapping[str, Any], outcomes: Outcomes, readme: str) -> str:
    before, begin, rest = readme.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README} needs the lines {BEGIN} and {END}, to stand around the tables")
    machine = document["machine"]
    lines = [
        "| ns per call | Brama | " + " | ".join(PEERS) + " | to circuitbreaker |",
        "|---|---" + "|---" * len(PEERS) + "|---|",
        *(_guard(label, outcomes[name]) for label, name in GUARDS if name in outcomes),
        "",
        "| | Brama | others | ratio |",
        "|---|---|---|---|",
        *(_other(label, outcomes[name]) for label, name in OTHERS if name in outcomes),
        "",
        f"Taken on {document['date']} with {machine['python']}, {machine['processor']}, "
        f"{machine['cores']} cores, {_load(machine['load'])}: medians of interleaved rounds in one "
        "run, counts checked afterwards; compare the ratios and not the digits. ¹ counts "
        "only, refuses nothing.",
    ]
    return "\n".join([before + BEGIN, "", *lines, "", END + after])


def _guard(label: str, one: Mapping[str, Any]) -> str:
    names = (next(iter(one["figures"])), *PEERS)
    figures = [one["figures"].get(name) for name in names]
    telling = [
        figure["median"]
        for name, figure in zip(names, figures, strict=True)
        if figure and not figure["noisy"] and (one["bench"], name) not in COUNTS_ONLY
    ]
    cells = []
    for name, figure in zip(names, figures, strict=True):
        if figure is None:
            cells.append("–")
            continue
        cell = "noisy" if figure["noisy"] else f"{figure['median']:,.0f}".replace(",", " ")
        if telling and figure["median"] == min(telling):
            cell = f"**{cell}**"
        cells.append(cell + "¹" * ((one["bench"], name) in COUNTS_ONLY))
    peer = next((name for name in one["ratios"] if name.startswith("circuitbreaker")), "")
    return f"| {label} | {' | '.join(cells)} | {_ratio(one, peer) if peer else '–'} |"


def _other(label: str, one: Mapping[str, Any]) -> str:
    ours, *others = one["figures"]
    unit = one["unit"]
    beside = [name for name in others if name in one["ratios"]]
    said = ", ".join(f"{name} {_amount(one['figures'][name], unit)}" for name in beside)
    ratios = ", ".join(_ratio(one, name) for name in beside)
    return f"| {label} | {_amount(one['figures'][ours], unit)} | {said or '–'} | {ratios or '–'} |"
