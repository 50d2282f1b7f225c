"""The recipes of the page on embedding, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "embed.md"
_RECIPE = re.compile(r"<!-- recipe: (\w+) -->\n+```python\n(.*?)```", re.DOTALL)

RECIPES: dict[str, str] = dict(_RECIPE.findall(PAGE.read_text(encoding="utf-8")))


def cooked(name: str, **given: Any) -> dict[str, Any]:
    """What a recipe has made, in a namespace that had what is `given`."""
    namespace: dict[str, Any] = {"__name__": name, **given}
    exec(compile(RECIPES[name], f"{PAGE.name}:{name}", "exec"), namespace)
    return namespace
