"""Sphinx: the Markdown pages of this folder as a site that works offline (`make docs-site`)."""

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent

project = "roam-lab"
author = copyright = "the roam-lab developers"
release = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = f"roam-lab {release}"
html_show_sourcelink = False
highlight_language = "none"
myst_heading_anchors = 4

OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)(?:#[^)]*)?\)")


def for_the_site(app, name, source):
    """Links to files outside of this folder become their names; the first page gets the tree of all others."""
    depth = name.count("/")
    if not depth:
        source[0] = OUTSIDE.sub(r"\1 (`\2` in the repository)", source[0])
    if name == "index":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n*\ndecisions/index\n```\n"
    if name == "decisions/index":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"


def setup(app):
    app.connect("source-read", for_the_site)
