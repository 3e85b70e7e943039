"""Writes docs/api.md, every public name from its docstring: `python docs/api_page.py docs/api.md` (`make docs`)."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import roam_lab
from roam_lab.plan import make_plan

HEAD = """# API

<!-- written by `make docs` from the docstrings of `roam_lab.__all__`: edit them there -->

`import roam_lab as roam`. Names are imported on first use, so `import roam_lab` loads neither torch nor a solver.
Sizes are bytes, times seconds unless a name says otherwise. Every error is a `RoamError`; its text is one sentence.
"""
SECTIONS = {
    "From model to planned training": ("profile", "Profile", "Plan", "hook", "load", "verify", "explain"),
    "Many sizes": ("grid", "sweep", "load_sweep"),
    "Many ranks": ("shard", "full_state_dict"),
    "In a notebook": ("load_ipython_extension", "unload_ipython_extension"),
}
"""Of the names that are no errors."""
RETURNED = {
    "roam_lab.runtime.planned_step": "PlannedStep",
    "roam_lab.runtime.verification": "Verification",
    "roam_lab.report.explanation": "Explanation",
    "roam_lab.sweeps": "SweepTable",
}
"""What public functions return: reached through them, not by a name of `roam_lab`."""


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for title, names in SECTIONS.items():
        parts += [f"## {title}\n", *(section(name, getattr(roam_lab, name)) for name in names)]
        if "Plan" in names:
            parts.append(section("Profile.plan", make_plan, "What `Profile.plan` takes, all but `graph`:"))
    parts.append("## What they return\n")
    parts += [section(name, getattr(import_module(home), name)) for home, name in RETURNED.items()]
    errors = [name for name in roam_lab.__all__ if name.endswith(("Error", "Warning"))]
    parts += ["## Errors\n", tree(errors)]
    return "\n".join(parts)


def section(name: str, value: Any, before: str = "") -> str:
    """Heading, signature, docstring; of a class its methods and properties, too."""
    parts = [f"### {name}\n", *([f"{before}\n"] if before else [])]
    parts += [f"```python\n{signature(name, value)}\n```\n", f"{inspect.getdoc(value)}\n"]
    if inspect.isclass(value):
        for member, what in members(value):
            shown = f"`.{member}`" if isinstance(what, property) or not callable(what) else f"`.{member}()`"
            parts.append(f"- {shown}: {' '.join((inspect.getdoc(what) or '').split())}")
        parts.append("")
    return "\n".join(parts)


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties of a class, with a docstring, in the sequence in which they are defined."""
    for name, value in vars(kind).items():
        found = getattr(value, "func", value)  # of a cached_property
        if not name.startswith("_") and (inspect.isfunction(found) or isinstance(found, property)):
            yield name, value if isinstance(value, property) or inspect.isfunction(value) else property(found)


def signature(name: str, value: Any) -> str:
    """As it is written, a parameter a line where it is long."""
    found = inspect.signature(value)
    returned = "" if found.return_annotation is inspect.Signature.empty else f" -> {_told(found.return_annotation)}"
    whole = f"{name}{_plain(found)}"
    if len(whole) <= 100:
        return whole
    lines: list[str] = []
    keyword_only = False
    for one in found.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            lines.append("    *,")
        lines.append(f"    {_plain_parameter(one)},")
    end = "" if inspect.isclass(value) else returned
    return "\n".join([f"{name}(", *lines, f"){end}"])


def _plain(found: inspect.Signature) -> str:
    told = ", ".join(map(_plain_parameter, found.parameters.values()))
    returned = found.return_annotation
    return f"({told})" if returned in (inspect.Signature.empty, None) else f"({told}) -> {_told(returned)}"


def _plain_parameter(one: inspect.Parameter) -> str:
    stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
    told = f"{stars}{one.name}"
    if one.annotation is not one.empty:
        told += f": {_told(one.annotation)}"
    if one.default is not one.empty:
        # a dataclass's default_factory has no value to show
        default = repr(one.default) if not repr(one.default).startswith("<") else "..."
        told += f" = {default}"
    return told


def _told(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def tree(names: list[str]) -> str:
    """Each error under the one that it is a kind of, with its docstring."""
    lines: list[str] = []

    def add(name: str, depth: int) -> None:
        kind = getattr(roam_lab, name)
        lines.append(f"{'  ' * depth}- `{name}`: {' '.join((inspect.getdoc(kind) or '').split())}")
        for other in sorted(names):
            if kind in getattr(roam_lab, other).__bases__:
                add(other, depth + 1)

    for root in ("RoamError", "RoamWarning"):
        add(root, 0)
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
