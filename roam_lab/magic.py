"""The `%roam` magic: the session's actions in a notebook cell, on objects by name. Needs IPython only.

%load_ext roam_lab
p = %roam profile model batch --optimizer optimizer
plan = %roam plan
"""

from __future__ import annotations

import shlex
import sys
from html import escape
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope
from IPython.display import display

from roam_lab.arguments import parse, parser_of, planning, unused
from roam_lab.errors import InputError, RoamError
from roam_lab.progress import TerminalProgress
from roam_lab.registry import one_line_warnings, strategies
from roam_lab.report.legal import legal
from roam_lab.report.svg import plan_svg, profile_svg
from roam_lab.report.text import plan_text, profile_text, strategies_text
from roam_lab.session import Session


class Shown:
    """A report in the notebook: plain text, and the same below its picture as HTML. Its repr is the text."""

    def __init__(self, text: str, svg: str) -> None:
        self.text = text
        self.svg = svg

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f'{self.svg}<pre style="font-size:12px;line-height:1.35">{escape(self.text)}</pre>'


def _show(report: Shown) -> None:
    display(report)  # type: ignore[no-untyped-call]


@magics_class
class RoamMagics(Magics):
    """`%roam ACTION ...`; what an action makes is returned, so `p = %roam profile model batch` works."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.names = shell.user_ns
        self.session = Session()

    @needs_local_scope
    @line_magic
    def roam(self, line: str, local_ns: dict[str, Any] | None = None) -> Any:
        """Profile and optimize the memory of PyTorch training (help is put here from the parsers)."""
        try:
            with one_line_warnings(_remark):
                return self._act(line, {**self.names, **(local_ns or {})})
        except RoamError as error:
            _remark(str(error))
        except SystemExit:  # --help has printed
            pass
        return None

    def _act(self, line: str, names: dict[str, Any]) -> Any:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise InputError(f"%roam {line}: {error}; close the quotes") from None
        arguments = parse("magic", words)
        action = arguments.face_action or "help"
        with TerminalProgress() as progress:
            self.session.progress = progress
            return getattr(self, f"_{action}")(arguments, names)

    def _profile(self, arguments: Any, names: dict[str, Any]) -> Any:
        chosen = {key: getattr(arguments, key) for key in ("model", "batch", "optimizer", "loss", "step")}
        objects = {key: self._value(text, names) for key, text in chosen.items() if text is not None}
        _check_kinds(objects, chosen)
        settings = {"fake": arguments.fake, "timing": arguments.timing, "name": arguments.name}
        made = self.session.capture(**objects, **settings)
        _show(Shown(profile_text(made), profile_svg(made)))
        return made

    def _plan(self, arguments: Any, names: dict[str, Any]) -> Any:
        from roam_lab.plan import Profile

        if arguments.profile is not None:
            given = self._value(arguments.profile, names)
            if not isinstance(given, Profile):
                raise InputError(f"{arguments.profile} is a {type(given).__name__}, not a profile; name one, or none")
            self.session.profile = given
        made = self.session.plan_graph(**planning(arguments))
        known = self.session.profile
        _show(Shown(plan_text(made, known.resident if known else None), plan_svg(made, known)))
        if note := unused(arguments):
            _remark(note)
        return made

    def _explain(self, arguments: Any, names: dict[str, Any]) -> Any:
        from roam_lab.plan import Plan
        from roam_lab.report.explanation import explain

        plan = self.session.plan if arguments.plan is None else self._value(arguments.plan, names)
        if plan is None:
            raise InputError("there is no plan to explain yet; make one with %roam plan first")
        if not isinstance(plan, Plan):
            raise InputError(f"{arguments.plan} is a {type(plan).__name__}, not a plan; name one, or none")
        made = explain(plan)
        print(made.text(arguments.limit))
        return made

    def _strategies(self, arguments: Any, names: dict[str, Any]) -> None:
        print(strategies_text(strategies()))

    def _help(self, arguments: Any, names: dict[str, Any]) -> None:
        parser, parsers = parser_of("magic")
        chosen = getattr(arguments, "action", None)
        print((parsers[chosen] if chosen else parser).format_help())

    def _value(self, text: str, names: dict[str, Any]) -> Any:
        """The object that `text`, a name or an expression, stands for in the notebook."""
        try:
            return eval(text, names)
        except NameError as error:
            raise InputError(f"{error}; run the cell that defines it first") from None
        except Exception as error:
            raise InputError(f"{text}: {type(error).__name__}: {error}; give a name or an expression") from None


def _check_kinds(objects: dict[str, Any], chosen: dict[str, str]) -> None:
    """What capture takes for granted; a swapped model and batch is the usual slip."""
    import torch

    for key, kind in (("model", torch.nn.Module), ("optimizer", torch.optim.Optimizer)):
        value = objects.get(key)
        if key in objects and not isinstance(value, kind):
            found = type(value).__name__
            raise InputError(f"{chosen[key]} is a {found}, not a torch {kind.__name__}; see %roam help profile")


def _remark(sentence: str) -> None:
    """One red line on standard error."""
    line = legal(f"roam: {' '.join(sentence.split())}")
    print(f"\x1b[31m{line}\x1b[0m", file=sys.stderr)


def full_help() -> str:
    """The help of `%roam` and of each of its actions: what `%roam?` shows."""
    parser, parsers = parser_of("magic")
    return "\n\n".join([parser.format_help(), *(action.format_help() for action in parsers.values())])


RoamMagics.roam.__doc__ = full_help()


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext roam_lab`."""
    shell.register_magics(RoamMagics)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext roam_lab`: the magic is gone, the results stay."""
    shell.magics_manager.magics["line"].pop("roam", None)
    shell.magics_manager.registry.pop("RoamMagics", None)
