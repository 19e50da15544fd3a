# SPDX-License-Identifier: MIT
"""Sphinx: the Python API as a page, from the docstrings of the installed module: `python -m sphinx -W docs/python build/docs/python`."""

from __future__ import annotations

import re
from typing import Any

import virtsock

project = "virtsock"
version = release = virtsock.__version__
extensions = ["sphinx.ext.autodoc"]
default_role = "code"  # `this`, as in Markdown
html_theme = "alabaster"
html_theme_options = {"description": "Sockets between hosts and virtual machines", "show_powered_by": False, "page_width": "72em"}
html_show_copyright = html_show_sourcelink = html_copy_source = False
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

virtsock.Error.__module__ = "virtsock._errors"  # where Sphinx finds what is said of its attributes


def from_markdown(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Code is indented there with no sign before it, and what follows `code` needs none."""
    text = re.sub(r"`([^`]+)`(?=\w)", r"`\1`\\ ", "\n".join(lines))
    lines[:] = re.sub(r"(\A|\n\n)(?=    \S)", r"\1::\n\n", text).split("\n")


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", from_markdown)
