"""The command ``brama``.

Its looks come from the extra ``cli`` (typer and rich); without that it says how to install it.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib.util import find_spec
from types import FrameType
from typing import Any, NoReturn

__all__ = ["main"]

_MISSING = "The command brama needs its extra; install it with: pip install 'brama[cli]'"


def main() -> NoReturn:
    """Run the command with the arguments of the process, and exit."""
    # Before anything slow is loaded: until there is something to tidy up, a signal ends the
    # process at once, and without a traceback.
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)
    if find_spec("typer") is None or find_spec("rich") is None:
        print(_MISSING, file=sys.stderr)
        sys.exit(1)
    try:
        _app()()
    except BrokenPipeError:
        # Whoever read us has left. The interpreter must not try to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(0)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(128 + number)


def _app() -> Any:
    import typer

    import brama

    from .demo.options import MINIMUM, Options
    from .journal_commands import add_to

    app = typer.Typer(
        name="brama",
        help="Brama guards the outbound connections of a service.",
        no_args_is_help=True,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",  # else lines break where they do in the source
    )

    def show_version(wanted: bool) -> None:
        if wanted:
            print(f"brama {brama.__version__}")
            raise typer.Exit

    @app.callback()
    def options(
        version: bool = typer.Option(  # pyright: ignore[reportUnusedParameter]  # its callback acts
            False, "--version", callback=show_version, is_eager=True, help="Show the version."
        ),
    ) -> None:
        pass

    @app.command("check-telemetry")
    def check_telemetry(
        endpoint: str = typer.Option(
            "", help="Base URL of the collector; goes before OTEL_EXPORTER_OTLP_ENDPOINT."
        ),
        timeout: float = typer.Option(5.0, min=0.1, help="Seconds to wait for each exporter."),
        json: bool = typer.Option(False, "--json", help="Print one JSON document, nothing else."),
    ) -> None:
        """Send one span, one metric and one log record, and say what happened to each.

        Reads the standard OTEL_* variables. Exit status: 0 if nothing failed, 1 if something did,
        2 if a variable is wrong.
        """
        from .checking import run

        raise typer.Exit(run(endpoint or None, timeout, json=json))

    @app.command()
    def demo(
        duration: float = typer.Option(
            Options().duration, min=MINIMUM, help="Seconds that the script takes."
        ),
        seed: int = typer.Option(Options().seed, help="Fixes the random parts."),
        json: bool = typer.Option(False, "--json", help="Print one JSON document, nothing else."),
    ) -> None:
        """Watch real connections being guarded, opened, probed and healed.

        Three HTTP services on loopback break and heal; threads, asyncio and trio go on calling
        them. Spans go to OTEL_EXPORTER_OTLP_ENDPOINT when that is set, otherwise to a receiver
        of the demo's own. The exit status is 0 only if every expectation held.
        """
        from .demo.run import run

        try:
            status = run(Options(duration=duration, seed=seed, json=json))
        except (brama.ConfigError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            print(f"brama demo: {error}", file=sys.stderr)
            status = 2
        raise typer.Exit(status)

    add_to(app)
    del options, check_telemetry, demo  # typer holds them
    return app


if __name__ == "__main__":
    main()
