"""How the program of a planned step is run: op by op from Python, or as one CUDA graph."""

from roam_lab.runtime.executors.choice import Execution, ExecutorName, choose, executor_of
from roam_lab.runtime.executors.cuda_graph import CudaGraphExecutor
from roam_lab.runtime.executors.python import PythonExecutor

__all__ = ["CudaGraphExecutor", "Execution", "ExecutorName", "PythonExecutor", "choose", "executor_of"]
