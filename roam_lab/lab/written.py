"""What `%roam export` and `%roam report` write, and the note they print: which plan, and whether one is better."""

from __future__ import annotations

from typing import Any

from roam_lab.app.argument_values import prices
from roam_lab.app.workbench import Workbench
from roam_lab.app.workbench.hooked import code_for, write_script
from roam_lab.app.workbench.report_parts import parts_of
from roam_lab.errors import InputError
from roam_lab.lab.shown_once import Written
from roam_lab.plan.plan import SUFFIX
from roam_lab.report.brief import write_brief
from roam_lab.report.export import export
from roam_lab.report.whatifs import WhatIf


def export_plan(bench: Workbench, row: WhatIf, arguments: Any, shell: Any) -> str:
    """A file, by its ending; with --hook a script, or without a file's name a new cell. Returns the path that was
    written, and says so."""
    if arguments.hook is not None:
        return _export_code(bench, row, arguments, shell)
    if arguments.output is None:
        raise InputError("name a file, such as plan.roam.json, or say --hook plain for code in a new cell")
    export(bench.what_ifs.proven(row), arguments.output, arguments.force)
    _say_wrote(bench, row, arguments.output)
    return Written(arguments.output)


def report_plan(bench: Workbench, row: WhatIf, arguments: Any) -> str:
    """The page for those who decide; everything on it belongs to this plan; what does not is left out, with a note."""
    parts = parts_of(bench, row)
    plan, given = bench.what_ifs.proven(row), {**parts.given, "prices": prices(arguments)}
    write_brief(arguments.output, plan, force=arguments.force, **given)
    _say_wrote(bench, row, arguments.output)
    for remark in parts.remarks:
        print(remark)
    return Written(arguments.output)


def _export_code(bench: Workbench, row: WhatIf, arguments: Any, shell: Any) -> str:
    if arguments.output is not None:
        cells = list(shell.history_manager.input_hist_raw)
        paths = write_script(bench, row, arguments.hook, arguments.output, cells, arguments.force)
        _say_wrote(bench, row, " and ".join(paths))
        return Written(paths[0])
    path = f"{row.model or 'plan'}{SUFFIX}"
    code = code_for(bench, row, arguments.hook, path)
    export(bench.what_ifs.proven(row), path, arguments.force)
    shell.set_next_input(code)
    _say_wrote(bench, row, path)
    return Written(path)


def _say_wrote(bench: Workbench, row: WhatIf, path: str) -> None:
    print(f"wrote {path}: {row.name} ({row.in_words()})")
    if better := bench.better_text(row):
        print(better)
