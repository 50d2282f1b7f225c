"""What ``brama check-telemetry`` prints."""

from __future__ import annotations

import json as jsonlib
import sys

import attrs

from brama.telemetry import ConfigError

__all__ = ["run"]


def run(endpoint: str | None, timeout: float, *, json: bool) -> int:
    """Check, print, and return the exit status."""
    from brama.telemetry import check_telemetry

    try:
        report = check_telemetry(endpoint=endpoint, timeout=timeout)
    except ConfigError as error:
        print(f"brama: {error}", file=sys.stderr)
        return 2
    if json:
        found = [attrs.asdict(finding) for finding in report.findings]
        print(jsonlib.dumps({"ok": report.ok, "findings": found}, indent=2))
    else:
        for finding in report.findings:
            mark = {"accepted": "ok    ", "failed": "FAILED", "not sent": "-     "}
            print(f"{mark[finding.outcome]} {finding.signal:<8} {finding.where}")
            if finding.outcome != "not sent":
                print(f"                {finding.what}, {finding.seconds:.2f} s")
            if finding.detail:
                print(f"                {finding.detail}")
    return 0 if report.ok else 1
