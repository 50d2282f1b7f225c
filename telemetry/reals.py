"""What counts as a number where one is asked for."""

from __future__ import annotations

import sys
from numbers import Real
from typing import Any

__all__ = ["is_real"]


def is_real(value: Any) -> bool:
    """Whether `value` is a real number: an int, a float, a fraction, a decimal; no True or False.

    Example:
        >>> is_real(0.5), is_real(True), is_real("1")
        (True, False, False)
    """
    if isinstance(value, bool):
        return False
    if isinstance(value, Real):
        return True
    # Whoever gives one has imported it; we need not. The numeric tower leaves it out.
    decimal = sys.modules.get("decimal")
    return decimal is not None and isinstance(value, decimal.Decimal)
