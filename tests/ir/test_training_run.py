"""What a training run takes beside its graph."""

from roam_lab.ir import Graph, Op
from roam_lab.ir.training_run import TrainingRun


def run_of(*ops: tuple[str, str], workspace: int = 32) -> TrainingRun:
    graph = Graph("run", (), tuple(Op(f"op_{n}", target, phase=phase) for n, (target, phase) in enumerate(ops)))
    return TrainingRun(graph, {"parameter": (3, 4), "state": (5,)}, workspace_bytes=workspace)


def test_resident_bytes() -> None:
    assert run_of().resident_bytes == 12
    assert TrainingRun(run_of().graph).resident_bytes == TrainingRun(run_of().graph).workspace_bytes == 0


def test_a_workspace_where_a_thread_first_multiplies() -> None:
    product, other = "aten.addmm.default", "aten.add.Tensor"
    run = run_of(
        (other, "forward"), (product, "forward"), (product, "forward"), (product, "backward"), (product, "update")
    )
    assert run.workspaces == {1: 32, 3: 32}
    assert run_of((other, "forward"), (product, "update")).workspaces == {1: 32}
    assert run_of((other, "forward")).workspaces == run_of((product, "forward"), workspace=0).workspaces == {}
