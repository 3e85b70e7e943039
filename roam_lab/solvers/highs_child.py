"""HiGHS in a process of its own: reads model files and writes answers. Run by roam_lab.solvers.ilp, not imported.

The reason is that highspy and OR-tools each bring a shared library of HiGHS under one name, in different versions:
whichever is loaded second fails.

Reads one request a line, ["MODEL.mps", "OPTIONS.json"], and answers in one line of JSON, {"model": "MODEL.mps", ...};
ends with its input. OPTIONS.json holds {"options": {...}, "start": {name: value}}. Answers go to the standard output
that this process was started with; libraries that print (HiGHS 1.16 prints a banner) print into nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, TextIO


def answer_channel() -> TextIO:
    """The standard output of this process, for answers alone: what is printed to descriptor 1 from now on is discarded.

    To be called before any library is imported. It stands at the beginning of a line, whatever was printed before.
    """
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    print(file=kept, flush=True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return kept


def main(model_path: str, options_path: str) -> dict[str, Any]:
    """Solve the model. Returns how it ended, the objective, the proven bound, and the variables' values by name."""
    import highspy
    import numpy as np

    with open(options_path, encoding="utf-8") as handle:
        asked = json.load(handle)
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)
    for name, value in asked["options"].items():
        highs.setOptionValue(name, value)
    highs.readModel(model_path)
    names = highs.getLp().col_names_
    known = [(column, asked["start"][name]) for column, name in enumerate(names) if name in asked["start"]]
    if known:
        columns, levels = zip(*known, strict=True)
        highs.setSolution(len(known), np.array(columns, np.int32), np.array(levels, np.float64))
    highs.run()
    info, status = highs.getInfo(), highs.getModelStatus()
    solved = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
    none = (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible)
    return {
        "model": model_path,
        "optimal": status == highspy.HighsModelStatus.kOptimal,
        "infeasible": status in none,
        "objective": info.objective_function_value if solved else None,
        "bound": info.mip_dual_bound if abs(info.mip_dual_bound) < highspy.kHighsInf else None,
        "values": dict(zip(names, highs.getSolution().col_value, strict=True)) if solved else {},
    }


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, too, and ends this process
    answers = answer_channel()
    for line in sys.stdin:
        print(json.dumps(main(*json.loads(line))), file=answers, flush=True)
