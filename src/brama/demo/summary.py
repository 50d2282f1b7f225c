"""The summary: what a demonstration has shown, as one document and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import brama
from brama.telemetry.testing import render_tree

from .callers import tallies
from .collector import Arrival
from .evidence import Evidence, counted
from .expectations import Expectation, Verdict
from .style import STATES, heading

__all__ = ["document", "held", "page"]


def held(expectations: Sequence[Expectation]) -> bool:
    """Whether no expectation failed. One that could not be checked is no failure."""
    return not any(one.verdict is Verdict.FAILED for one in expectations)


def document(evidence: Evidence, expectations: Sequence[Expectation]) -> dict[str, Any]:
    """The summary as plain values, ready for JSON."""
    options, arrivals = evidence.options, evidence.arrivals
    verdicts = counted(one.verdict.value for one in expectations)
    return {
        "ok": held(expectations),
        "brama": brama.__version__,
        "duration": options.duration,
        "seed": options.seed,
        "circuits": {name: _circuit(evidence, name) for name in evidence.statuses},
        "runtimes": tallies(evidence.callers),
        "latency_ms": latency(evidence),
        "subscribers": {
            name: {
                "deliveries": subscription.delivered,
                "failures": subscription.failures,
                "restarts": evidence.restarts(name),
            }
            for name, subscription in evidence.handlers.subscriptions.items()
        },
        "telemetry": {
            "arrival": arrivals.arrival.value,
            "endpoint": arrivals.endpoint,
            "traces": len({span.trace_id for span in arrivals.spans}),
            "spans": counted(span.name for span in arrivals.spans),
            "trace": render_tree(evidence.told_trace()).splitlines(),
        },
        "expectations": [
            {"text": one.text, "verdict": one.verdict.value, "detail": one.detail}
            for one in expectations
        ],
        "verdicts": verdicts,
    }


def _circuit(evidence: Evidence, name: str) -> dict[str, Any]:
    status = evidence.statuses[name]
    return {
        "state": status.state.value,
        "transitions": [
            [event.data["previous_state"], event.data["new_state"], event.data["reason"]]
            for event in evidence.transitions(name)
        ],
        "calls": status.calls,
        "successes": status.successes,
        "failures": status.failures,
        "refused": status.refused,
        "late": status.late,
        "hits": evidence.hits[name],
    }


def latency(evidence: Evidence) -> dict[str, dict[str, float]]:
    """Milliseconds of the successful calls through closed circuits, by runtime: p50 and p99.

    It is the whole round trip over loopback; the guard's own share is below a microsecond.
    """
    return {
        runtime: {"p50": _percentile(times, 0.5), "p99": _percentile(times, 0.99)}
        for runtime in tallies(evidence.callers)
        if (
            times := sorted(
                seconds
                for caller in evidence.callers
                if caller.runtime == runtime
                for seconds in caller.latencies
            )
        )
    }


def _percentile(ordered: Sequence[float], share: float) -> float:
    return round(ordered[int(share * (len(ordered) - 1))] * 1e3, 2)


def page(console: Console, evidence: Evidence, expectations: Sequence[Expectation]) -> None:
    """Print the summary."""
    with console.capture() as captured:
        _print(console, evidence, expectations)
    text = captured.get()
    if not console.is_terminal:
        # Cells are filled up to their width, which only a terminal hides.
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    console.file.write(text)
    console.file.flush()


def _print(console: Console, evidence: Evidence, expectations: Sequence[Expectation]) -> None:
    console.print(
        heading("Circuits"),
        _indented(_circuits(evidence)),
        heading("Calls"),
        _indented(_calls(evidence)),
        heading("Telemetry"),
        _indented(_telemetry(evidence)),
        heading("Expectations"),
        _indented(_checklist(expectations)),
        _verdict(expectations),
        sep="\n",
    )


def _indented(body: Any) -> Padding:
    return Padding(body, (0, 0, 0, 2), expand=False)


def _grid(*columns: str) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in columns:
        name, _, right = column.partition(">")
        grid.add_column(name, justify="right" if right else "left", no_wrap=True)
    return grid


def _circuits(evidence: Evidence) -> Table:
    grid = _grid("circuit", "calls>r", "failed>r", "refused>r", "changes of state")
    for name, status in evidence.statuses.items():
        path = Text("closed", STATES["closed"])
        for event in evidence.transitions(name):
            state = str(event.data["new_state"])
            path.append(" › ", "dim").append(_SHORT[state], STATES[state])
        figures = (status.calls, status.failures, status.refused)
        grid.add_row(name, *(f"{figure:,}" for figure in figures), path)
    # A path may be long: it alone is wrapped.
    grid.columns[-1].no_wrap = False
    return grid


_SHORT = {"closed": "closed", "open": "open", "half_open": "half"}


def _calls(evidence: Evidence) -> Table:
    grid = _grid("from", "calls>r", "went well>r", "failed>r", "refused>r", "p50>r", "p99>r")
    times = latency(evidence)
    for runtime, tally in tallies(evidence.callers).items():
        shown = times.get(runtime, {})
        grid.add_row(
            runtime,
            *(f"{tally[key]:,}" for key in ("attempts", "succeeded", "failed", "refused")),
            *(f"{shown[key]:.1f} ms" if key in shown else "–" for key in ("p50", "p99")),
        )
    return grid


def _telemetry(evidence: Evidence) -> Group:
    arrivals = evidence.arrivals
    if arrivals.arrival is Arrival.OFF:
        return Group(Text("switched off by OTEL_SDK_DISABLED; nothing was sent"))
    if arrivals.arrival is Arrival.LOST:
        lost = f"{arrivals.endpoint} did not take the spans: is a collector listening there?"
        return Group(Text(lost, "yellow"))
    if arrivals.arrival is Arrival.ACCEPTED:
        return Group(Text(f"{arrivals.endpoint} took every span; look for them there"))
    spans = arrivals.spans
    traces = len({span.trace_id for span in spans})
    counts = Text(f"{len(spans):,} spans in {traces:,} traces arrived at {arrivals.endpoint}")
    table = _grid("arrived>r", "span")
    for name, count in counted(span.name for span in spans).items():
        table.add_row(f"{count:,}", name)
    told = evidence.told_trace()
    if not told:
        return Group(counts, Text(), table)
    intro = Text("one of them, in which a handler failed and got the event again:", "dim")
    drawn = [_tinted(line) for line in render_tree(told).splitlines()]
    return Group(counts, Text(), table, Text(), intro, Text(), *drawn)


def _tinted(line: str) -> Text:
    text = Text(line, no_wrap=True, overflow="ellipsis")
    text.highlight_regex(r"ERROR( \w+)?", "red")
    text.highlight_regex(r"INTERNAL|CLIENT|PRODUCER|CONSUMER|[├└│─]+", "dim")
    text.highlight_regex(r"[\d.]+ ms", "cyan")
    return text


_MARKS = {
    Verdict.OK: Text("ok", "green"),
    Verdict.FAILED: Text("FAILED", "bold red"),
    Verdict.UNCHECKED: Text("not checked", "yellow"),
}


def _checklist(expectations: Sequence[Expectation]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(style="dim")
    for one in expectations:
        grid.add_row(_MARKS[one.verdict], one.text, one.detail)
    return grid


def _verdict(expectations: Sequence[Expectation]) -> Text:
    counts = counted(one.verdict.value for one in expectations)
    unchecked = counts.get(Verdict.UNCHECKED, 0)
    rest = f", {unchecked} could not be checked" if unchecked else ""
    if held(expectations):
        return Text(f"\nAll {counts.get(Verdict.OK, 0)} expectations held{rest}.", "bold green")
    failed = counts[Verdict.FAILED]
    return Text(f"\n{failed} of {len(expectations)} expectations failed{rest}.", "bold red")
