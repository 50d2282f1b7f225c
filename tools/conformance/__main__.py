"""``python -m conformance [--times N] [arguments for pytest]``: pykka's suite on our actors."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from .sdist import fetch


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="conformance", description=__doc__)
    parser.add_argument(
        "--times", type=int, default=1, metavar="N", help="repeat; stop at a failure"
    )
    options, rest = parser.parse_known_args(arguments)
    tools = Path(__file__).resolve().parents[1]
    folder = fetch(Path(sys.prefix) / "conformance")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conformance.plugin"]
    # Their settings and not ours: the folder stands below our own.
    command += ["-p", "no:cacheprovider", "-c", "pyproject.toml", *(rest or ["tests"])]
    for _ in range(options.times):
        # As a module and in its folder, so that the suite can import itself as `tests`.
        done = subprocess.run(
            command, cwd=folder, env={**environment, "PYTHONPATH": str(tools)}, check=False
        )
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
