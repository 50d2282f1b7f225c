"""Where a supervised child deliberately differs: the tests of pykka that say otherwise.

The page "Coming from pykka" explains each.
"""

from __future__ import annotations

__all__ = ["SUPERVISED"]

_START = "a supervisor waits for `on_start`: its failure is raised where the child is started"
_BASE = "a BaseException is a crash of that child, which its supervisor repairs; nothing else stops"

SUPERVISED = {
    "test_on_start_failure_causes_actor_to_stop": _START,
    "test_exception_in_on_start_is_logged": _START,
    "test_all_actors_are_stopped_on_base_exception": _BASE,
    "test_base_exception_is_logged": _BASE,
}
