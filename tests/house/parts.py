"""Where the parts of the package really lie, read from the tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

FOLDERS: Mapping[str, str] = {
    "brama": "src/brama",
    "brama.actors": "actors",
    "brama.circuits": "circuits",
    "brama.notifier": "notifier",
    "brama.telemetry": "telemetry",
}


def files(root: Path = ROOT) -> Iterator[tuple[str, Path]]:
    """Each file that belongs to the package: its installed name and where it lies."""
    for package, folder in FOLDERS.items():
        for path in sorted(_walk(root / folder)):
            inside = path.relative_to(root / folder).as_posix()
            yield f"{package.replace('.', '/')}/{inside}", path


def modules(root: Path = ROOT) -> Iterator[tuple[str, Path]]:
    """Each module: its dotted name and where its source lies."""
    for name, path in files(root):
        if path.suffix == ".py":
            yield name.removesuffix(".py").removesuffix("/__init__").replace("/", "."), path


def packages(root: Path = ROOT) -> set[str]:
    """Each folder that holds Python source, as a package name."""
    return {
        name.rpartition("/")[0].replace("/", ".") for name, _ in files(root) if name.endswith(".py")
    }


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_symlink() or path.name == "__pycache__":
            continue  # the links lead to folders that are walked under their own names
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path
