"""Code and scripts that train by a plan of a workbench."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from roam_lab.app.session import made_by, on_meta
from roam_lab.app.workbench.made import Made
from roam_lab.errors import InputError
from roam_lab.ir import write_text
from roam_lab.plan import load_plan
from roam_lab.plan.plan import SUFFIX
from roam_lab.report.cells import needed_statements
from roam_lab.report.export import check_free
from roam_lab.report.hook_code import BatchKind, Hooked, Loop, hook_code
from roam_lab.report.whatifs import WhatIf, WhatIfs

if TYPE_CHECKING:
    from roam_lab.app.workbench.bench import Workbench


def code_for(bench: Workbench, row: WhatIf, loop: Loop, plan_path: str) -> str:
    """A cell that trains by the plan of `row`, which lies at `plan_path`, in that loop. Raises InputError where the
    model is not known, or the loop cannot take its step."""
    return hook_code(loop, _hooked(bench, row, repr(plan_path)))


def write_script(
    bench: Workbench, row: WhatIf, loop: Loop, path: str, cells: Iterable[str], force: bool = False
) -> tuple[str, str]:
    """Write a script that makes what the notebook's `cells` have made of model, optimizer and batch, and trains by the
    plan of `row`, which is written beside it. Returns the paths of both.

    Raises InputError, OutputError where one of them is there already and `force` is false.
    """
    if not path.endswith(".py"):
        raise InputError(f"{path}: a script's file must end in .py; name it so")
    plan_path = f"{path.removesuffix('.py')}{SUFFIX}"
    for each in (path, plan_path):
        check_free(each, force)
    beside = f"str(Path(__file__).with_name({os.path.basename(plan_path)!r}))"
    hooked = _hooked(bench, row, beside)
    code = hook_code(loop, hooked)
    made = bench.made_of(row)
    setup = needed_statements(cells, _variables(made))
    text = f'"""Training by a plan of roam-lab: {row.in_words()}."""\n\nfrom pathlib import Path\n\n{setup}\n\n{code}'
    try:
        compile(text, path, "exec")
    except SyntaxError as error:
        raise InputError(f"{path}: the notebook's cells make no script ({error.msg}); export a new cell") from None
    bench.what_ifs.proven(row).save(plan_path)
    write_text(path, text)
    return path, plan_path


def write_factory_script(plan_path: str, factory: str, loop: Loop, path: str, force: bool = False) -> None:
    """Write a script that trains what FILE.py:FACTORY makes by the plan at `plan_path`.

    Raises InputError, FormatError, OutputError as `write_script`.
    """
    if not path.endswith(".py"):
        raise InputError(f"{path}: a script's file must end in .py; name it so")
    check_free(path, force)
    plan = load_plan(plan_path)
    with on_meta(True):
        made = Made(**made_by(factory))
    given = [key for key in ("model", "optimizer", "batch", "loss", "step") if getattr(made, key) is not None]
    row = WhatIfs().add(plan, factory.rpartition(":")[2])
    goals = {"extra_time": plan.extra_time or None, "device": plan.environment.get("device", "cpu")}
    names = {key: key for key in given}
    several = _several(made)
    hooked = Hooked(repr(plan_path), row.in_words(), names, _kind(made), _is_criterion(made), goals, several)
    lines = [
        f'"""Training by a plan of roam-lab: {row.in_words()}."""\n',
        "from roam_lab.capture.factory import load_factory\n",
        f"made = load_factory({factory!r})",
        *(f'{key} = made["{key}"]' for key in given),
        "",
        hook_code(loop, hooked),
    ]
    write_text(path, "\n".join(lines))


def _hooked(bench: Workbench, row: WhatIf, plan: str) -> Hooked:
    made = bench.made_of(row)
    goals = {key: row.asked[key] for key in ("budget", "extra_time") if row.asked.get(key)}
    if row.plan.extra_time > 0 and not goals:
        goals["extra_time"] = row.plan.extra_time
    names = {key: text for key, text in made.names.items() if getattr(made, key) is not None}
    names |= {key: key for key in ("loss", "step") if getattr(made, key) is not None and key not in names}
    device = row.plan.environment.get("device", "cpu")
    goals = {**goals, "device": device}
    return Hooked(plan, row.in_words(), names, _kind(made), _is_criterion(made), goals, _several(made))


def _kind(made: Made) -> BatchKind:
    if isinstance(made.batch, Mapping):
        return "mapping"
    return "sequence" if isinstance(made.batch, Sequence) and not isinstance(made.batch, str) else "other"


def _several(made: Made) -> bool:
    return isinstance(made.optimizer, tuple | list)


def _is_criterion(made: Made) -> bool:
    import torch

    return isinstance(made.loss, torch.nn.Module)


def _variables(made: Made) -> set[str]:
    """The variables in what was given to `%roam profile`, and those of its usual names that stand in the code."""
    found = {"optimizer"} if "optimizer" not in made.names else set()
    for text in made.names.values():
        found |= {one.id for one in ast.walk(ast.parse(text, mode="eval")) if isinstance(one, ast.Name)}
    return found


def default_script(name: str) -> str:
    """A file's name for a script of the what-if of that name."""
    plain = "".join(letter if letter.isalnum() else "_" for letter in name).strip("_")
    return str(Path(f"train_{plain or 'planned'}.py"))
