"""The live view: circuits, supervision tree and event tail on a terminal."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from brama.actors import TreeNode
from brama.circuits import Circuit

from .handlers import Delivery
from .stage import Stage
from .style import SIGNS, STATES, SUBSCRIBERS
from .upstreams import Condition

__all__ = ["View"]

_KEPT = 200
_TREE_WIDTH = 31
_HEAD, _TOP = 3, 13


class View:
    """Repaints the terminal a few times a second; afterwards the terminal is as it was."""

    def __init__(self, stage: Stage, console: Console) -> None:
        self._stage = stage
        self._said = "everything is healthy"
        self._live = Live(
            self._page(),
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def open(self) -> None:
        self._live.start(refresh=True)

    def update(self, happened: Sequence[str]) -> None:
        """Repaint; `happened` is what the script has just done."""
        if happened:
            self._said = happened[-1]
        self._live.update(self._page(), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def _page(self) -> Layout:
        page = Layout()
        page.split_column(
            Layout(self._head(), size=_HEAD),
            Layout(name="top", size=_TOP),
            Layout(_framed("events, as subscribers receive them", self._tail())),
        )
        page["top"].split_row(
            Layout(_framed("circuits", self._circuits())),
            Layout(_framed("supervision tree", self._tree()), size=_TREE_WIDTH),
        )
        return page

    def _head(self) -> Table:
        duration = self._stage.options.duration
        elapsed = min(self._stage.elapsed, duration)
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(ratio=1)
        head.add_column(justify="right")
        head.add_row(
            Text.assemble((" brama demo", "bold"), ("   " + self._said, "")),
            Text(f"{elapsed:4.1f} of {duration:g} s ", "dim"),
        )
        head.add_row(ProgressBar(duration, elapsed, style="bright_black", complete_style="green"))
        return head

    def _circuits(self) -> RenderableType:
        table = Table(
            box=None, expand=True, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim"
        )
        table.add_column("circuit", no_wrap=True)
        table.add_column("state", min_width=11, no_wrap=True)
        for name in ("failures", "refused", "retry in"):
            table.add_column(name, justify="right", no_wrap=True)
        for name, circuit in self._stage.circuits.items():
            table.add_row(*_row(circuit))
            condition = self._stage.upstreams[name].condition
            style = "dim" if condition is Condition.HEALTHY else "red"
            table.add_row("", Text(condition.value, style, no_wrap=True), "", "", "")
        calls = Table.grid(padding=(0, 2, 0, 0))
        for runtime in ("threads", "asyncio", "trio"):
            mine = [one for one in self._stage.service.callers if one.runtime == runtime]
            calls.add_row(
                Text(runtime, "dim"),
                f"{sum(one.succeeded for one in mine):,} well",
                f"{sum(one.failed for one in mine):,} failed",
                f"{sum(one.refused for one in mine):,} refused",
            )
        both = Table.grid(expand=True)
        both.add_row(table)
        both.add_row(Text())
        both.add_row(calls)
        return both

    def _tree(self) -> Text:
        names = {one.id: name for name, one in self._stage.handlers.subscriptions.items()}
        return Text("\n").join(list(_branches(self._stage.system.tree(), names)))

    def _tail(self) -> Text:
        deliveries = self._stage.handlers.tail.since(0)[-_KEPT:]
        room = max(1, self._live_height() - _HEAD - _TOP - 2)
        lines = Text("\n", no_wrap=True, overflow="ellipsis")
        return lines.join([_told(one, self._stage.began) for one in deliveries[-room:]])

    def _live_height(self) -> int:
        live = getattr(self, "_live", None)
        return 24 if live is None else live.console.height


def _framed(title: str, body: RenderableType) -> Panel:
    return Panel(body, title=Text(title, "dim"), title_align="left", border_style="bright_black")


def _row(circuit: Circuit) -> tuple[RenderableType, ...]:
    status = circuit.status()
    state = status.state.value
    style = STATES[state]
    return (
        Text(circuit.name, "bold"),
        Text(f"{SIGNS[state]} {state.replace('_', '-')}", style),
        f"{status.failure_count}" if status.failure_count else Text("–", "dim"),
        f"{status.refused:,}" if status.refused else Text("–", "dim"),
        f"{status.retry_after:.1f} s" if status.retry_after else Text("–", "dim"),
    )


def _branches(root: TreeNode, names: Mapping[int, str]) -> Iterator[Text]:
    """The tree in few lines: a handler and the supervisor it has to itself are one."""
    yield Text(str(root.id), "bold")
    for index, child in enumerate(root.children):
        last = index == len(root.children) - 1
        branch, trunk = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield Text.assemble((branch, "bright_black"), *_named(child, str(child.id)))
        for number, below in enumerate(child.children):
            joint = "└─ " if number == len(child.children) - 1 else "├─ "
            name = _name(below.id, names)
            worker = below.children[0] if below.children else below
            yield Text.assemble((trunk + joint, "bright_black"), *_named(worker, name))


def _named(node: TreeNode, name: str) -> Iterator[tuple[str, str]]:
    yield name, ""
    yield f"  {node.kind}", "dim"
    if node.status != "running":
        yield f"  {node.status}", "yellow"
    if node.restarts:
        yield f"  ↻ {node.restarts}", "yellow"


def _name(identity: Hashable, names: Mapping[int, str]) -> str:
    """What a reader knows a child by: a handler's name, or that of a connection in its scope."""
    if isinstance(identity, tuple):
        return str(identity[-1])
    return names[identity] if isinstance(identity, int) and identity in names else str(identity)


def _told(delivery: Delivery, began: float) -> Text:
    event = delivery.event
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{delivery.at - began:5.1f} s  ", "dim")
    text.append(f"{delivery.subscriber:<10}", SUBSCRIBERS[delivery.subscriber])
    text.append(f"{event.connection:<9} ")
    state = str(event.data.get("new_state", ""))
    text.append(f"{event.event:<20}", STATES.get(state, ""))
    text.append(f"seq {event.seq:<4}", "dim")
    if delivery.outcome:
        text.append(delivery.outcome, "bold red")
    elif event.redelivered:
        text.append("redelivered", "bold yellow")
    elif event.event == "state_change":
        text.append(f"{event.data['previous_state']} → {state}", "")
        if event.data["reason"]:
            text.append(f"  {event.data['reason']}", "dim")
    return text
