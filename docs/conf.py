"""Sphinx: MyST pages, furo, and the public names from their docstrings."""

from __future__ import annotations

from typing import Any

from pygments.lexers.special import TextLexer

import msh

project = "msh"
author = "the authors of msh"
version = release = msh.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"msh {release}"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# A single backtick in a docstring is a name, as in Markdown.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True


def setup(app: Any) -> None:
    """Show Mermaid diagrams as text: each has a table that says the same."""
    app.add_lexer("mermaid", TextLexer)
