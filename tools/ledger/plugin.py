"""The pytest side of the ledger: knows the mark, refuses unknown ids at collection."""

from __future__ import annotations

import pytest

from .catalogue import load


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "requirement(*ids): the rows of tests/requirements.toml that this test proves"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    catalogue = load(config.rootpath / "tests" / "requirements.toml")
    faults = {
        f"{item.nodeid}: {catalogue.advice(id_)}"
        for item in items
        for mark in item.iter_markers("requirement")
        for id_ in mark.args
        if id_ not in catalogue.ids
    }
    if faults:
        raise pytest.UsageError(*sorted(faults))
