"""What editors complete and type checkers accept is what a circuit takes."""

from __future__ import annotations

from typing import get_type_hints

import brama
from brama.circuits import OPTIONS, Options
from brama.settings import RuntimeOptions


def test_the_keywords_of_a_circuit_are_the_options_of_a_policy_and_the_elixir_word():
    assert set(get_type_hints(Options)) == {*OPTIONS, "max_attempts"}


def test_configure_takes_those_of_the_cleanup_and_the_rules_of_severity_as_well():
    cleanup = {"cleanup_interval", "inactive_threshold"}

    assert set(get_type_hints(RuntimeOptions)) == {
        *get_type_hints(Options),
        *cleanup,
        "severity",
    }


def test_every_keyword_is_optional():
    assert brama.Options.__required_keys__ == frozenset()
