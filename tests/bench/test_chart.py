"""Charts: every figure has its place, and equal figures make equal bytes."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from bench.chart import Bar, Panel, Point, bars, curves, short

SVG = "{http://www.w3.org/2000/svg}"
PANEL = Panel("a <call>", "ns", [Bar("brama", 100, 98, 102, ours=True), Bar("peer", 400, 380, 420)])


def texts(chart: str) -> list[str]:
    return [str(found.text) for found in ET.fromstring(chart).iter(f"{SVG}text")]


def test_bars_are_as_long_as_their_values() -> None:
    ours, theirs = ET.fromstring(bars([PANEL])).iter(f"{SVG}rect")

    assert float(theirs.attrib["width"]) == pytest.approx(4 * float(ours.attrib["width"]), abs=0.5)
    assert (ours.attrib["class"], theirs.attrib["class"]) == ("ours", "bar")


def test_a_panel_names_its_contenders_and_their_amounts() -> None:
    assert texts(bars([PANEL])) == ["a <call>", "brama", "100 ns", "peer", "400 ns"]


def test_panels_do_not_share_a_scale() -> None:
    other = Panel("memory", "B", [Bar("brama", 1e6, 1e6, 1e6)])
    widths = [
        float(found.attrib["width"])
        for found in ET.fromstring(bars([PANEL, other])).iter(f"{SVG}rect")
    ]

    assert widths[2] > widths[0]


def test_a_curve_goes_right_with_the_size_and_up_with_the_value() -> None:
    line = [Point(10, 100, 99, 101), Point(1000, 200, 199, 201)]
    chart = curves("cost", "subscribers", "ns", {"brama": line})
    first, last = ET.fromstring(chart).iter(f"{SVG}circle")

    assert float(last.attrib["cx"]) > float(first.attrib["cx"])
    assert float(last.attrib["cy"]) < float(first.attrib["cy"])
    assert {"cost", "subscribers", "brama", "10", "1 000"} <= set(texts(chart))


def test_lines_that_end_together_have_names_apart() -> None:
    line = [Point(1, 10, 10, 10), Point(10, 10, 10, 10)]
    chart = curves("cost", "n", "ns", {"one": line, "two": line})
    places = [
        float(found.attrib["y"])
        for found in ET.fromstring(chart).iter(f"{SVG}text")
        if found.text in ("one", "two")
    ]

    assert abs(places[0] - places[1]) >= 14


def test_a_curve_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="positive"):
        curves("cost", "n", "ns", {})
    with pytest.raises(ValueError, match="positive"):
        curves("cost", "n", "ns", {"brama": [Point(1, 0, 0, 0)]})


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (28.61, "ns", "28.6 ns"),
        (3794, "ns", "3 794 ns"),
        (35_600, "ns", "35.6 µs"),
        (2.5, "us", "2.5 µs"),
        (17_981, "B", "17.6 KiB"),
        (861, "B", "861 B"),
        (1_888_504, "/s", "1.9 M/s"),
        (154_356, "/s", "154 k/s"),
        (12, "/s", "12.0/s"),
        (12_000, "ms", "12.0 s"),
    ],
)
def test_amounts_are_short(value: float, unit: str, text: str) -> None:
    assert short(value, unit) == text
