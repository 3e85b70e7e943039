"""The real rivals, as strategies that only the benchmark registers: other projects' own code on our graphs.

`inductor`: PyTorch Inductor's three orders (torch/_inductor/memory.py) and the captured one, the best of them, as it
does. `executorch_greedy`: ExecuTorch's greedy memory planning (executorch.exir.memory_planning) on our lifetimes; it
runs where `make rivals` has put it into a folder of its own, which is never on the path of the project itself.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from roam_lab.ir import Graph, Layout, Lifetime, Order, captured_order, live_peak
from roam_lab.registry import strategy

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("ROAM_RIVALS", "~/.cache/roam-lab-rivals")).expanduser()
ORDERS, LAYOUTS = ("inductor",), ("executorch_greedy",)


def missing(names: Iterable[str] = (*ORDERS, *LAYOUTS)) -> dict[str, str]:
    """Those of the rivals in `names` that cannot run here, each with the reason."""
    reasons = {}
    if "inductor" in names and not _inductor().available():  # looks into torch
        reasons["inductor"] = "this torch has no torch._inductor.memory with the three sorts"
    if "executorch_greedy" in names and not (FOLDER / "executorch").is_dir():
        reasons["executorch_greedy"] = f"executorch is not in {FOLDER}; run `make rivals`"
    return reasons


def _inductor() -> Any:
    """The adapter that the tests of our own lpmf, bfs and dfs compare with."""
    spec = importlib.util.spec_from_file_location("inductor_adapter", ROOT / "tests" / "order" / "inductor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@strategy("order", "inductor", source="PyTorch itself: torch/_inductor/memory.py")
def inductor(graph: Graph) -> Order:
    """Inductor's own functions: the best of its three orders and the captured one."""
    orders = [captured_order(graph), *_inductor().inductor_orders(graph).values()]
    return min(orders, key=lambda order: live_peak(graph, order).bytes)


class _Spec:
    """As much of ExecuTorch's TensorSpec as its greedy algorithm reads. Lifetimes include both ends."""

    mem_id = storage_base = None
    alignment = 1

    def __init__(self, life: Lifetime) -> None:
        self.storage = life.storage
        self.allocated_memory = life.bytes
        self.lifetime = [life.start, life.end - 1]

    def realign(self, alignment: int) -> None:
        """Sizes come rounded already."""


@strategy("layout", "executorch_greedy", source="ExecuTorch itself: executorch/exir/memory_planning.py, greedy")
def executorch_greedy(lifetimes: tuple[Lifetime, ...]) -> Layout:
    """ExecuTorch's own greedy algorithm: by decreasing size into shared objects."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    from executorch.exir.memory_planning import greedy  # type: ignore[import-not-found]

    specs = [_Spec(life) for life in lifetimes]
    found = greedy(1, dict.fromkeys(specs), None, None)
    offsets = {spec.storage: found.spec_dict[spec].mem_offset for spec in specs}
    return Layout(offsets, max(found.bufsizes, default=0))
