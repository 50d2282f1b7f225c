"""A port: a program of the BEAM that works on request, and says how long it took."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from .contest import Contender, WorkNotDone

__all__ = ["Port", "elixir", "erlang", "port"]

FOLDER = Path(__file__).with_name("beam")


class Port:
    """A program that answers each line "command times" with "amount done".

    The amount is nanoseconds, or bytes for memory; done is how often it did the work, by the count
    of whoever received it.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._done: Counter[str] = Counter()
        self.version = self._line()

    def contender(
        self, name: str, command: str, *, times: int | None = None, size: int = 1
    ) -> Contender:
        """What the program takes for `command`; one time of it counts for `size` of the work."""

        def run(times: int) -> float:
            amount, done = self.ask(command, times // size)
            self._done[command] += done
            return amount / times / 1e9

        return Contender(name, run, lambda: self._done[command], times=times)

    def weight(self, name: str, command: str, times: int) -> Contender:
        """The bytes of one, when there are `times` of them."""
        rounds = 0

        def run(_times: int) -> float:
            nonlocal rounds
            amount, done = self.ask(command, times)
            if done != times:
                raise WorkNotDone(f"{name} made {done} of {times}")
            rounds += 1
            return float(amount)

        return Contender(name, run, lambda: rounds, times=1)

    def ask(self, command: str, times: int) -> tuple[int, int]:
        """The amount, and how often the work was done."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command} {times}\n")
        self._process.stdin.flush()
        amount, done = self._line().split()
        return int(amount), int(done)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise WorkNotDone(f"{self._process.args!r} ended with {self._process.wait()}")
        return line


@contextmanager
def port(program: str, script: str, *arguments: object) -> Generator[Port | None, None, None]:
    """A running program; None when it is not installed."""
    path = shutil.which(program)
    if path is None:
        yield None
        return
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [path, str(FOLDER / script), *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        # It ends with its input.
        stack.callback(lambda: process.stdin and process.stdin.close())
        yield Port(process)


def erlang() -> AbstractContextManager[Port | None]:
    """Erlang's processes."""
    return port("escript", "processes.escript")


def elixir(size: int) -> AbstractContextManager[Port | None]:
    """Elixir's Registry with `size` subscribers, ten of whom match."""
    return port("elixir", "registry.exs", size)
