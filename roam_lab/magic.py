"""The `%roam` magic: the session's actions in a notebook cell, on objects by name. Needs IPython only.

%load_ext roam_lab
p = %roam profile model batch --optimizer optimizer
plan = %roam plan
"""

from __future__ import annotations

import ast
import gc
import shlex
import sys
from contextlib import suppress
from traceback import clear_frames
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope

from roam_lab.app.argument_values import fitting, plan_notes, planning
from roam_lab.app.arguments import parse, parser_of
from roam_lab.app.doctor import doctor_text
from roam_lab.app.fit_lengths import fit_over_lengths
from roam_lab.app.host import host
from roam_lab.app.workbench import Made, Workbench
from roam_lab.errors import InputError, RoamError
from roam_lab.interrupt import held
from roam_lab.lab.cell_turns import CellTurns
from roam_lab.lab.completion import matcher_of
from roam_lab.lab.named import check_kinds, value_of
from roam_lab.lab.progress import notebook_progress
from roam_lab.lab.shown import Place, PlanView, Shown, compare_shown, frontier_shown, profile_shown, row_shown, run_text
from roam_lab.lab.shown_once import ShownOnce
from roam_lab.lab.written import export_plan, report_plan
from roam_lab.plan import Plan, Profile, load_plan
from roam_lab.plan.plan import SUFFIX
from roam_lab.registry import one_line_warnings, strategies
from roam_lab.report.explanation import Explanation, explain
from roam_lab.report.fit import fit_text, within_text
from roam_lab.report.safe_text import printable
from roam_lab.report.text import strategies_text
from roam_lab.report.whatifs import WhatIf, WhatIfs
from roam_lab.sweeps.asked import table_asked_for, what_ifs_asked_for

if TYPE_CHECKING:
    from roam_lab.plan.fit import Fit
    from roam_lab.plan.frontier import Frontier
    from roam_lab.plan.largest import Within
    from roam_lab.runtime.measured_run import RunFigures
    from roam_lab.runtime.verification import Verification
    from roam_lab.sweeps import SweepTable


@magics_class
class RoamMagics(Magics):
    """`%roam ACTION ...`; what an action makes is returned, so `p = %roam profile model batch` works."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.names = shell.user_ns
        self.bench = Workbench()
        self.once = ShownOnce(shell)
        self.turns: CellTurns | None = None

    @needs_local_scope
    @line_cell_magic
    def roam(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        """Profile and optimize the memory of PyTorch training (help is put here from the parsers)."""
        try:
            with one_line_warnings(_remark):
                names = {**self.names, **(local_ns or {})}
                if cell is not None:
                    line, names = self._with_step(line, cell, names)
                return self.once.note(self._act(line, names))
        except RoamError as error:
            _remark(str(error))
        except KeyboardInterrupt as stop:
            with suppress(KeyboardInterrupt), held():  # who presses again means the same
                clear_frames(stop.__traceback__)  # with their fake tensors, as in session.profile
                gc.collect()
                _remark("interrupted; model, optimizer and batch are as they were, and earlier results are kept")
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
        with notebook_progress() as progress:
            self.bench.progress = progress
            return getattr(self, f"_{action}")(arguments, names)

    def _with_step(self, line: str, cell: str, names: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Run a cell of `%%roam`; the last function it defines is the train step."""
        try:
            found = [node.name for node in ast.parse(cell).body if isinstance(node, ast.FunctionDef)]
        except SyntaxError as error:
            raise InputError(f"%%roam: line {error.lineno} of the cell is no Python ({error.msg})") from None
        if not found:
            raise InputError("%%roam: the cell defines no function; write def train_step(model, optimizer, batch): ...")
        assert self.shell is not None
        self.shell.run_cell(cell).raise_error()  # type: ignore[no-untyped-call]
        words = line.split()
        action = [] if words[:1] and words[0] in parser_of("magic")[1] else ["profile"]
        return shlex.join([*action, *shlex.split(line), "--step", found[-1]]), {**names, **self.names}

    def _profile(self, arguments: Any, names: dict[str, Any]) -> Profile:
        chosen = {key: getattr(arguments, key) for key in ("model", "batch", "optimizer", "loss", "step")}
        objects = {key: value_of(text, names) for key, text in chosen.items() if text is not None}
        check_kinds(objects, chosen)
        place = Place()
        settings = {
            "fake": arguments.fake,
            "timing": arguments.timing,
            "times": arguments.times,
            "device": arguments.device,
        }
        given = Made(**objects, names={key: chosen[key] for key in objects})
        name, made = self.bench.capture_named(
            arguments.name, given, lambda early: place.show(profile_shown(early, "Planning ...")), **settings
        )
        place.show(row_shown(self.bench, self.bench.what_if(name)))
        return made

    def _plan(self, arguments: Any, names: dict[str, Any]) -> Plan:
        of = self._profile_name(arguments.profile, names)
        row = self.bench.plan_named(arguments.name, of, **planning(arguments))
        Place().show(row_shown(self.bench, row))
        for note in plan_notes(arguments, row.plan):
            _remark(note)
        return row.plan

    def _lab(self, arguments: Any, names: dict[str, Any]) -> Any:
        name = self._profile_name(arguments.profile, names)
        known = self.bench.profile_named(name)
        here = host()
        if not here.widgets:
            row = self.bench.latest_of(known) or self.bench.plan_named(None, name)
            Place().show(row_shown(self.bench, row, f"no panel here: {here.why}"))
            return row.plan
        from roam_lab.lab.panel import Lab

        panel = Lab(self.bench, name)
        panel.show_once()
        return panel

    def _compare(self, arguments: Any, names: dict[str, Any]) -> WhatIfs:
        chosen = WhatIfs()
        given = [chosen.put(self._what_if(name, names)) for name in arguments.plans]
        if len(given) > 1:
            chosen.pin(given[0].name)
        if not given:
            chosen.take(self.bench.what_ifs)
        if not chosen.models:
            raise InputError("there are no plans to compare yet; make one with %roam profile first")
        Place().show(compare_shown(chosen))
        return chosen

    def _view(self, arguments: Any, names: dict[str, Any]) -> PlanView:
        shown = PlanView(self._what_if(arguments.plan, names).plan)
        Place().show(shown)
        return shown

    def _run(self, arguments: Any, names: dict[str, Any]) -> RunFigures:
        row, figures = self.bench.measure(self._what_if(arguments.plan, names).name, arguments.steps)
        Place().show(Shown(run_text(row, figures)))
        return figures

    def _verify(self, arguments: Any, names: dict[str, Any]) -> Verification:
        row, found = self.bench.verify_named(self._what_if(arguments.plan, names).name, arguments.steps)
        Place().show(Shown("\n".join([f"{row.name} ({row.in_words()})", *found.lines()])))
        return found

    def _explain(self, arguments: Any, names: dict[str, Any]) -> Explanation:
        made = explain(self.bench.what_ifs.proven(self._what_if(arguments.plan, names)))
        Place().show(Shown(made.text(arguments.limit)))
        return made

    def _frontier(self, arguments: Any, names: dict[str, Any]) -> Frontier:
        name = self._profile_name(arguments.profile, names)
        found = self.bench.frontier(name, arguments.points, arguments.rewrite)
        Place().show(frontier_shown(found))
        return found

    def _fit(self, arguments: Any, names: dict[str, Any]) -> Fit | Within:
        extra_times, of = fitting(arguments), self._profile_name(arguments.profile, names)
        if arguments.memory is not None:
            found = self.bench.within(arguments.memory, of, extra_times)
            Place().show(Shown(within_text(found)))
            return found
        if arguments.sequence_lengths is None:
            curve = self.bench.fit(of, arguments.batch_sizes, extra_times)
        else:
            curve = fit_over_lengths(self.bench, of, arguments.sequence_lengths, extra_times)
        Place().show(Shown(fit_text(curve)))
        return curve

    def _sweep(self, arguments: Any, names: dict[str, Any]) -> SweepTable:
        found = table_asked_for(arguments, self.bench.progress, _remark)
        Place().show(found)
        return found

    def _whatif(self, arguments: Any, names: dict[str, Any]) -> WhatIfs:
        name = self._profile_name(arguments.profile, names)
        only_table = arguments.table is not None and name is None and not self.bench.profiles
        label = "" if only_table else self.bench.name_of(self.bench.profile_named(name))
        place = Place()

        def added(row: WhatIf) -> None:
            place.show(compare_shown(self.bench.what_ifs.of(row.model)))

        rows = what_ifs_asked_for(arguments, self.bench, label, self.bench.progress, added)
        place.show(compare_shown(rows))
        return rows

    def _export(self, arguments: Any, names: dict[str, Any]) -> str:
        return export_plan(self.bench, self._what_if(arguments.plan, names), arguments, self.shell)

    def _report(self, arguments: Any, names: dict[str, Any]) -> str:
        return report_plan(self.bench, self._what_if(arguments.plan, names), arguments)

    def _strategies(self, arguments: Any, names: dict[str, Any]) -> None:
        print(strategies_text(strategies()))

    def _doctor(self, arguments: Any, names: dict[str, Any]) -> None:
        print(doctor_text())

    def _help(self, arguments: Any, names: dict[str, Any]) -> None:
        parser, parsers = parser_of("magic")
        chosen = getattr(arguments, "action", None)
        print((parsers[chosen] if chosen else parser).format_help())

    def _profile_name(self, text: str | None, names: dict[str, Any]) -> str | None:
        """The name of a profile that was named by it, or by a variable that holds it."""
        if text is None or text in self.bench.profiles:
            return text
        given = names.get(text)
        if isinstance(given, Profile):
            return self.bench.adopt(text, given)
        if text in names:
            raise InputError(f"{text} is a {type(given).__name__}, not a profile; name one, or none")
        self.bench.profile_named(text)  # refuses it, and says what there is
        return text

    def _what_if(self, text: str | None, names: dict[str, Any]) -> WhatIf:
        """The what-if named by its name, by a variable that holds a plan, or by a plan's file."""
        if text is None or text in (row.name for row in self.bench.what_ifs):
            return self.bench.what_if(text)
        if text.endswith(SUFFIX):
            return self.bench.keep_file(load_plan(text), text)
        given = names.get(text)
        if isinstance(given, Plan):
            same = (row for row in self.bench.what_ifs if row.held is given)
            return next(same, None) or self.bench.keep_file(given, text)
        if text in names:
            raise InputError(f"{text} is a {type(given).__name__}, not a plan; name one, or none")
        return self.bench.what_if(text)


def _remark(sentence: str) -> None:
    """One bold line on standard error; in a colour it would be too faint on the ground that JupyterLab gives it."""
    line = printable(f"roam: {' '.join(sentence.split())}")
    print(f"\x1b[1m{line}\x1b[0m", file=sys.stderr)


def full_help() -> str:
    """The help of `%roam` and of each of its actions: what `%roam?` shows."""
    parser, parsers = parser_of("magic")
    return "\n\n".join([parser.format_help(), *(action.format_help() for action in parsers.values())])


RoamMagics.roam.__doc__ = full_help()


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext roam_lab`."""
    magics = RoamMagics(shell)
    shell.register_magics(magics)
    magics.turns = CellTurns(shell)
    matchers = getattr(shell.Completer, "custom_matchers", None)
    if matchers is not None:
        matchers.append(matcher_of(magics.bench, shell.user_ns))


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext roam_lab`: the magic is gone, the results stay."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("roam", None)
    magics = shell.magics_manager.registry.pop("RoamMagics", None)
    if isinstance(magics, RoamMagics):
        magics.once.close()
        if magics.turns is not None:
            magics.turns.close()
    matchers = getattr(shell.Completer, "custom_matchers", [])
    matchers[:] = [matcher for matcher in matchers if getattr(matcher, "__name__", "") != "roam_matcher"]
