"""Rules about imports that import-linter cannot express."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import attrs

from .parts import modules

PARTS = {f"brama.{name}" for name in ["actors", "circuits", "notifier", "telemetry"]}
DOORS = PARTS | {f"{part}.testing" for part in PARTS}
SDK = ("opentelemetry.sdk", "opentelemetry.exporter")
SDK_USERS = (
    # `configure` and those that it alone imports, which also matches `exporters`
    "brama.telemetry.export",
    "brama.telemetry.checking",
    "brama.telemetry.points",
    "brama.telemetry.scraping",
    "brama.telemetry.watched",
    "brama.telemetry.testing",  # and behind it, what captures for tests, by types and when used
    "brama.telemetry.captured",
    "brama.telemetry.capturing",
    "brama.demo",
)
MODULES = dict(modules())


@attrs.frozen
class Import:
    """One module that one place imports; both names in full."""

    importer: str
    imported: str
    relative: bool
    line: int

    def __str__(self) -> str:
        return f"{MODULES[self.importer]}:{self.line}: {self.imported}"


def part_of(module: str) -> str | None:
    """The package that a module of the four belongs to."""
    return next((part for part in PARTS if f"{module}.".startswith(f"{part}.")), None)


@cache
def names_of(package: str) -> frozenset[str]:
    """What a package hands out: its ``__all__``."""
    path = MODULES.get(package)
    if path is None or path.name != "__init__.py":
        return frozenset()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return frozenset(ast.literal_eval(node.value))
    return frozenset()


def imports_of(module: str) -> Iterator[Import]:
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, False, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            yield Import(module, source, bool(node.level), node.lineno)
            for alias in node.names:
                # `from brama.actors import mailbox` may name a module, too, but not where the
                # package hands out that very name.
                if alias.name in names_of(source):
                    continue
                yield Import(module, f"{source}.{alias.name}", bool(node.level), node.lineno)


@cache  # and not while tests are collected, which each worker does
def imports() -> list[Import]:
    return [found for module in MODULES for found in imports_of(module)]


def in_parts() -> list[Import]:
    return [found for found in imports() if part_of(found.importer)]


def faults(found: Iterator[Import]) -> list[str]:
    return [str(fault) for fault in found]


def test_only_the_exporting_modules_import_the_sdk() -> None:
    assert (
        faults(
            found
            for found in imports()
            if found.imported.startswith(SDK) and not found.importer.startswith(SDK_USERS)
        )
        == []
    )


def test_packages_know_each_other_by_their_front_doors() -> None:
    assert (
        faults(
            found
            for found in imports()
            if found.imported in MODULES
            and part_of(found.imported)
            and part_of(found.imported) != part_of(found.importer)
            and found.imported not in DOORS
        )
        == []
    )


def test_imports_inside_a_package_are_relative_and_across_packages_absolute() -> None:
    assert (
        faults(
            found
            for found in in_parts()
            if found.imported.partition(".")[0] in ("", "brama")
            and found.relative != (part_of(found.importer) == part_of(found.imported))
        )
        == []
    )


def test_the_four_packages_do_not_reach_up_to_the_facade() -> None:
    assert (
        faults(
            found
            for found in in_parts()
            if found.imported.partition(".")[0] == "brama" and not part_of(found.imported)
        )
        == []
    )
