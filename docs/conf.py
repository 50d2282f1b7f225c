"""Sphinx configuration: pages in MyST Markdown, reference from the docstrings."""

from importlib import metadata

project = "Brama"
author = "The Brama authors"
copyright = "2026, The Brama authors"  # noqa: A001
version = release = metadata.version("brama")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
default_role = "code"  # single backticks in docstrings are code
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Threads", "Order", "Failure", "Source"]

html_theme = "furo"
html_title = f"Brama {release}"
html_copy_source = False
