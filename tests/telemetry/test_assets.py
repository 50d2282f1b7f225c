"""What stands ready for a look at it: the compose file, as far as it can be read without Docker."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ASSETS = Path(__file__).parents[2] / "docs" / "assets"
COMPOSE = (ASSETS / "compose.yaml").read_text()

pytestmark = pytest.mark.requirement("telemetry:grafana")


def test_what_is_mounted_is_there() -> None:
    mounts = re.findall(r"^ +- (\./\S+?):(/\S+?):ro$", COMPOSE, re.MULTILINE)
    assert len(mounts) == 5
    assert [source for source, _ in mounts if not (ASSETS / source).is_file()] == []


def test_its_parts_find_each_other() -> None:
    places = dict(
        reversed(mount) for mount in re.findall(r"- (\./\S+?):(/\S+?):ro$", COMPOSE, re.MULTILINE)
    )
    services = set(re.findall(r"^  (\w+):$", COMPOSE, re.MULTILINE))
    sources = (ASSETS / "grafana" / "datasources.yaml").read_text()
    assert set(re.findall(r"url: http://(\w+):", sources)) <= services
    folder = re.search(r"path: (\S+)", (ASSETS / "grafana" / "dashboards.yaml").read_text())
    assert folder is not None
    assert f"{folder[1]}/brama.json" in places
    (rules,) = re.findall(r"- (\S+\.yml)", (ASSETS / "prometheus" / "prometheus.yml").read_text())
    assert f"/etc/prometheus/{rules}" in places


def test_it_is_seen_on_this_machine_alone() -> None:
    ports = re.findall(r'- "([\d.:]+)"', COMPOSE)
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)
