"""Sphinx configuration: pages in MyST Markdown, reference from the docstrings."""

import sys
from importlib import import_module, metadata
from inspect import ismodule
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.logging import getLogger

logger = getLogger(__name__)

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
    """Describe each name once: among those of the part that it comes from."""
    home = getattr(obj, "__module__", None)
    if what != "module" or not isinstance(home, str) or not home.startswith("brama"):
        return None
    module = app.env.current_document.autodoc_module or "brama"
    return True if part_of(home) != part_of(module) else None


PUBLIC = (
    "brama",
    *PARTS,
    "brama.actors.testing",
    "brama.circuits.adapters.aiohttp",
    "brama.circuits.adapters.httpx",
    "brama.circuits.adapters.requests",
    "brama.circuits.testing",
    "brama.notifier.cloudevents",
    "brama.telemetry.testing",
    "brama.pytest_plugin",
)
"""The modules all of whose names are in the reference."""


def look_for_what_is_missing(app: Sphinx, _env: BuildEnvironment) -> None:
    """Warn, and so fail, where the reference leaves a public name out."""
    described = {path.rpartition(".")[2] for path in app.env.domaindata["py"]["objects"]}
    for module in PUBLIC:
        names = import_module(module)
        for name in sorted({*names.__all__} - described):
            if not ismodule(getattr(names, name)):
                logger.warning("the reference does not describe %s.%s", module, name)


def setup(app: Sphinx) -> None:
    app.connect("autodoc-skip-member", skip_what_is_handed_on)
    app.connect("env-check-consistency", look_for_what_is_missing)
