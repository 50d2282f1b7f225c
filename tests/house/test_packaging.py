"""Every way to build or install Brama gives the same package, links or no links."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import build
import pyproject_hooks
import pytest

from .parts import FOLDERS, ROOT, files, packages

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packaging")


def copy_of_tree(target: Path, *, links: bool) -> Path:
    """What a source archive holds, so that builds leave nothing behind in the checkout."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        return {
            name
            for name in names
            if name == "__pycache__" or (not links and Path(folder, name).is_symlink())
        }

    for folder in FOLDERS.values():
        shutil.copytree(ROOT / folder, target / folder, symlinks=True, ignore=ignored)
    for name in ["pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(ROOT / name, target)
    return target


def build_from(source: Path, kind: str, out: Path) -> Path:
    builder = build.ProjectBuilder(source, runner=pyproject_hooks.quiet_subprocess_runner)
    return Path(builder.build(kind, out))


@pytest.fixture(scope="module")
def checkout(workspace: Path) -> Path:
    return copy_of_tree(workspace / "checkout", links=True)


@pytest.fixture(scope="module")
def archive(workspace: Path) -> Path:
    return copy_of_tree(workspace / "archive", links=False)


@pytest.fixture(scope="module")
def sdist(checkout: Path, workspace: Path) -> Path:
    return build_from(checkout, "sdist", workspace / "sdist")


@pytest.fixture(scope="module")
def unpacked(sdist: Path, workspace: Path) -> Path:
    with tarfile.open(sdist) as tar:
        tar.extractall(workspace / "unpacked", filter="data")
    (folder,) = (workspace / "unpacked").iterdir()
    return folder


def names_in(wheel: Path) -> list[str]:
    names = zipfile.ZipFile(wheel).namelist()
    return sorted(name for name in names if ".dist-info/" not in name)


EXPECTED = sorted(name for name, _ in files())


def test_packages_list_equals_the_tree() -> None:
    listed = PYPROJECT["tool"]["setuptools"]["packages"]

    assert sorted(listed) == sorted(packages())
    assert PYPROJECT["tool"]["setuptools"]["package-dir"] == FOLDERS


def test_every_package_has_an_init() -> None:
    assert {f"{package.replace('.', '/')}/__init__.py" for package in packages()} <= set(EXPECTED)


def test_links_are_relative_and_lead_to_the_four_folders() -> None:
    """An archive may lack them; those that are there must be right."""
    inside = (ROOT / "src/brama").iterdir()
    links = {(path.name, path.readlink()) for path in inside if path.is_symlink()}

    assert links <= {
        (name, Path("../..", name)) for name in ["actors", "circuits", "notifier", "telemetry"]
    }


def test_wheel_holds_exactly_the_package(checkout: Path, workspace: Path) -> None:
    assert names_in(build_from(checkout, "wheel", workspace / "wheel")) == EXPECTED


def test_sdist_holds_exactly_the_package_and_no_links(unpacked: Path) -> None:
    assert sorted(name for name, _ in files(unpacked)) == EXPECTED
    assert not [path for path in unpacked.rglob("*") if path.is_symlink()]
    assert {path.name for path in unpacked.iterdir() if path.is_dir()} <= {
        *(folder.partition("/")[0] for folder in FOLDERS.values()),
        "brama.egg-info",
    }


def test_wheel_from_the_sdist_holds_exactly_the_package(unpacked: Path, workspace: Path) -> None:
    assert names_in(build_from(unpacked, "wheel", workspace / "again")) == EXPECTED


def test_archive_without_links_installs_and_imports(archive: Path, workspace: Path) -> None:
    home = workspace / "venv"
    # pip is a dependency, too, unless uv made the environment.
    venv.create(home, with_pip=find_spec("pip") is None)
    scripts = Path(sysconfig.get_path("scripts", "venv", {"base": str(home)}))
    # Build tools and dependencies come from the environment of the tests. A folder on PYTHONPATH
    # is no site directory: its .pth files, the editable Brama among them, are not read.
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}

    def run(*command: str) -> str:
        python = str(scripts / Path(sys.executable).name)
        done = subprocess.run(
            [python, *command], env=environment, cwd=workspace, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", str(archive))
    site = Path(run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    installed = sorted(
        path.relative_to(site).as_posix()
        for path in (site / "brama").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    )
    imported = run("-c", f"import {', '.join(sorted(FOLDERS))}; print(brama.__file__)").strip()

    assert installed == EXPECTED
    assert Path(imported) == site / "brama" / "__init__.py"
