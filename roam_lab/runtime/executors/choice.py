"""The choice of the executor that runs a captured step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from roam_lab.capture import Captured
from roam_lab.errors import InputError
from roam_lab.runtime.executors.cuda_graph import CudaGraphExecutor
from roam_lab.runtime.executors.obstacles import generators, obstacle
from roam_lab.runtime.executors.python import PythonExecutor

ExecutorName = Literal["python", "cuda_graph"]
_NAMES = ("python", "cuda_graph")


def executor_of(name: Any) -> ExecutorName:
    """`executor` as `hook` takes it. Raises InputError for anything else."""
    if name not in _NAMES:
        raise InputError(f"executor is {name!r}; choose 'python' or 'cuda_graph'")
    return name  # type: ignore[no-any-return]


def choose(asked: ExecutorName, captured: Captured, offloads: bool = False) -> tuple[ExecutorName, str]:
    """The executor for a captured step, and the reason in a sentence. `asked`: what the user wants; `offloads`: whether
    the plan moves storages to the host.

    A CUDA graph is never chosen unasked: it has not been verified on a GPU.
    """
    if asked == "python":
        return "python", "ops run one by one from Python, which is the default"
    if captured.device != "cuda":
        return "python", f"the step runs on {captured.device}, and a CUDA graph on CUDA alone"
    if not torch.cuda.is_available():
        return "python", "torch finds no CUDA device on this machine"
    if offloads:
        return "python", "its plan moves storages to the host on another stream, which no graph has been seen to repeat"
    found = obstacle(captured)
    if found is not None:
        return "python", found
    return "cuda_graph", "a CUDA graph was asked for, and nothing in the step keeps it from being one"


@dataclass(frozen=True)
class Execution:
    """The executor that the user asked a hook for. A sentence on each reason why it is not used is appended to `notes`,
    once."""

    asked: ExecutorName
    notes: list[str]

    def executor(
        self, captured: Captured, device: torch.device, offloads: bool = False
    ) -> PythonExecutor | CudaGraphExecutor:  # fmt: skip
        """The executor of one captured step."""
        name, reason = choose(self.asked, captured, offloads)
        if name == "cuda_graph":
            return CudaGraphExecutor(device, generators(captured), self._note)
        if self.asked != name:
            self._note(f"the step is not run as a CUDA graph: {reason}")
        return PythonExecutor()

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)
