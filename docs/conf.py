"""Sphinx configuration: pages in MyST Markdown, reference from the docstrings."""

import sys
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))  # for tables.py

project = "Brama"
author = "The Brama authors"
copyright = "2026, The Brama authors"  # noqa: A001
version = release = metadata.version("brama")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "tables"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_inherit_docstrings = False  # pykka writes Markdown
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints_format = "short"
default_role = "code"  # single backticks in docstrings are code
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Options", "params_style"), "Threads", "Order", "Failure", "Source"]

html_theme = "furo"
html_title = f"Brama {release}"
html_copy_source = False

PARTS = ("brama.actors", "brama.circuits", "brama.notifier", "brama.telemetry")


def part_of(module: str) -> str:
    return next((part for part in PARTS if f"{module}.".startswith(f"{part}.")), "brama")


def skip_what_is_handed_on(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Describe each name once: on the page of the part that it comes from."""
    home = getattr(obj, "__module__", None)
    page = app.env.docname.removeprefix("reference/")
    if what != "module" or not isinstance(home, str) or not home.startswith("brama"):
        return None
    return True if part_of(home) != part_of(f"brama.{page}") else None


def setup(app: Sphinx) -> None:
    app.connect("autodoc-skip-member", skip_what_is_handed_on)
