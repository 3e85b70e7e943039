"""An op log as JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from roam_lab.capture.stored.values import value_from_data, value_to_data
from roam_lab.ir.op_log import LoggedOp, LoggedTensor, OpLog


def log_to_data(log: OpLog) -> dict[str, Any]:
    """Raises NotStoredError where an op was given what cannot be kept."""
    tensors: dict[LoggedTensor, int] = {}

    def numbers(of: tuple[LoggedTensor, ...]) -> list[int]:
        return [tensors.setdefault(one, len(tensors)) for one in of]

    ops = [
        [
            op.target, numbers(op.arguments), value_to_data(list(op.constants)), numbers(op.results),
            value_to_data(op.answer), op.accumulated,
        ]
        for op in log.ops
    ]  # fmt: skip
    return {"tensors": [value_to_data(list(astuple(one))) for one in tensors], "ops": ops}


def log_from_data(data: Mapping[str, Any]) -> OpLog:
    """The log that `log_to_data` wrote, without the user's lines. Raises NotStoredError, and what else Python raises
    for data of another form."""
    tensors = [LoggedTensor(*value_from_data(one)) for one in data["tensors"]]
    return OpLog(
        tuple(
            LoggedOp(
                str(target),
                tuple(tensors[index] for index in arguments),
                tuple(value_from_data(constants)),
                tuple(tensors[index] for index in results),
                value_from_data(answer),
                bool(accumulated),
            )
            for target, arguments, constants, results, answer, accumulated in data["ops"]
        )
    )
