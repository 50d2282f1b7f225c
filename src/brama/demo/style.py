"""The look: colours and signs that the views and the summary share."""

from __future__ import annotations

from typing import Final

from rich.text import Text

__all__ = ["SIGNS", "STATES", "SUBSCRIBERS", "heading"]

STATES: Final = {"closed": "green", "open": "red", "half_open": "yellow"}
"""The colour of each state."""

SIGNS: Final = {"closed": "●", "open": "○", "half_open": "◐"}
"""The sign of each state, for those who do not see colours."""

SUBSCRIBERS: Final = {"Journal": "blue", "Pager": "magenta", "Dashboard": "cyan", "Ledger": "green"}
"""The colour of each subscriber."""


def heading(text: str) -> Text:
    """The title of a section, with air above it."""
    return Text.assemble("\n", (text, "bold"))
