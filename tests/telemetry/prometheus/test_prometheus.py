"""Dashboard and alerts against Debian's Prometheus, which scrapes a real run.

`.ci/run` fetches it; elsewhere, where it is not on PATH, these tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brama.telemetry import metric_names

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ASSETS = ROOT / "docs" / "assets"
RULES = ASSETS / "prometheus" / "brama.rules.yml"
DASHBOARD = ASSETS / "grafana" / "brama.json"
FETCHED = ROOT / ".venv" / "prometheus" / "usr" / "bin"
PATIENCE = 40.0

pytestmark = pytest.mark.requirement("telemetry:grafana")


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(FETCHED))
    if found is None:
        pytest.skip(f"{name} is not installed; .ci/run fetches Debian's package")
    return found


def alerts() -> list[str]:
    return re.findall(r"alert: (\w+)", RULES.read_text())


def queries() -> list[str]:
    """Every expression of the dashboard, with its variables filled in."""
    found: list[str] = []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            text = target["expr"].replace("$__rate_interval", "10s")
            found.append(re.sub(r"\$(job|instance|pool)", ".*", text))
    return found


# Without Prometheus


def test_dashboard_and_rules_use_no_name_that_no_metric_has() -> None:
    known = set()
    for metric in metric_names.METRICS:
        base = metric.name.replace(".", "_")
        if metric.kind == "histogram":
            known |= {f"{base}_seconds_{end}" for end in ("bucket", "sum", "count")}
        else:
            known.add(f"{base}_total" if metric.kind == "counter" else base)
        known |= {name.replace(".", "_") for name in metric.attributes}
    for text in (RULES.read_text(), *queries()):
        used = set(re.findall(r"\bbrama_\w+", text))
        assert used <= known


def test_every_alert_has_a_severity_a_summary_and_advice() -> None:
    text = RULES.read_text()
    for word in ("severity:", "summary:", "description:"):
        assert text.count(word) == len(alerts())


# With promtool


def test_the_rules_are_rules_and_fire_after_their_time_and_not_before(tmp_path: Path) -> None:
    promtool = tool("promtool")
    subprocess.run([promtool, "check", "rules", str(RULES)], check=True, capture_output=True)
    case = tmp_path / "test.yml"
    rules = (HERE / "brama.rules.test.yml").read_text().replace("RULES", str(RULES), 1)
    # What an alert says to people is not repeated here, and promtool compares that, too.
    notes = r"\n        annotations:\n(?:          .*\n|\s*\n|            .*\n)*"
    bare = re.sub(notes, "\n", RULES.read_text())
    (tmp_path / "bare.yml").write_text(bare)
    case.write_text(rules.replace(str(RULES), str(tmp_path / "bare.yml"), 1))
    done = subprocess.run([promtool, "test", "rules", str(case)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    tested = set(re.findall(r"alertname: (\w+)", rules))
    assert tested == set(alerts())


# With a real Prometheus and a real run


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Prometheus:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/{path}?{query}", timeout=5) as answer:
            return json.load(answer)["data"]

    def empty(self) -> list[str]:
        """The queries of the dashboard that return nothing."""
        return [query for query in queries() if not self.get("query", query=query)["result"]]

    def silent(self) -> set[str]:
        """The alerts that do not fire."""
        firing = {
            alert["labels"]["alertname"]
            for alert in self.get("alerts")["alerts"]
            if alert["state"] == "firing"
        }
        return set(alerts()) - firing


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    binary = tool("prometheus")
    scratch = tmp_path_factory.mktemp("prometheus")
    scraped, served = free_port(), free_port()
    # The alerts as they are, but that nobody waits for minutes here: promtool has tested that.
    (scratch / "rules.yml").write_text(re.sub(r"for: \d+m", "for: 1s", RULES.read_text()))
    (scratch / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        "rule_files: [rules.yml]\n"
        "scrape_configs:\n"
        "  - job_name: shop\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{scraped}']}}]\n"
    )
    inherited = {name: text for name, text in os.environ.items() if "OTEL_" not in name}
    service = subprocess.Popen(
        [sys.executable, str(HERE / "service.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=inherited
        | {
            "OTEL_METRICS_EXPORTER": "prometheus",
            "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(scraped),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",  # nobody is there
            "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        },
    )
    server = subprocess.Popen(
        [
            binary,
            f"--config.file={scratch / 'prometheus.yml'}",
            f"--storage.tsdb.path={scratch / 'data'}",
            f"--web.listen-address=127.0.0.1:{served}",
            "--log.level=error",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        assert service.stdout is not None
        assert service.stdout.readline() == "ready\n"
        yield Prometheus(served)
    finally:
        server.terminate()
        service.kill()
        server.wait(10)
        service.wait(10)
        for stream in (service.stdin, service.stdout):
            if stream is not None:
                stream.close()


def until_none_is_left(look: Any) -> Any:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            left = look()
        except OSError:  # it has not begun to listen
            left = "Prometheus itself"
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.5)


@pytest.mark.soak
def test_every_query_of_the_dashboard_returns_data_of_a_real_run(prometheus: Prometheus) -> None:
    assert until_none_is_left(prometheus.empty) == []


@pytest.mark.soak
def test_every_alert_fires_on_a_real_outage(prometheus: Prometheus) -> None:
    assert until_none_is_left(prometheus.silent) == set()
