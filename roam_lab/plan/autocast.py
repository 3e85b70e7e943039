"""An estimate of a step under bf16 autocast, from the graph of the step in 32 bits and autocast's own rules."""

from __future__ import annotations

from dataclasses import replace

from roam_lab.ir import Graph, Op, Storage

LOW = (
    "aten.mm",
    "aten.addmm",
    "aten.bmm",
    "aten.baddbmm",
    "aten.linear",
    "aten.convolution",
    "aten.mkldnn_convolution",
    "aten._scaled_dot_product_",
)
"""Beginnings of the names of operators to which autocast gives 16-bit operands; backward operators included."""
HIGH = (
    "aten.native_layer_norm",
    "aten.native_group_norm",
    "aten._softmax",
    "aten._log_softmax",
    "aten.nll_loss",
    "aten.pow",
    "aten.exp",
    "aten.log",
    "aten.rsqrt",
    "aten.sum",
    "aten._fused_rms_norm",
)
"""Beginnings of the names of operators that autocast keeps in 32 bits. The results of all others, apart from HALF and
FIRST, have the widest type of their operands."""
FIRST = ("aten.native_batch_norm", "aten.cudnn_batch_norm")
"""Operators whose result has the type of their first operand, while parameters and statistics stay in 32 bits."""


def with_autocast(graph: Graph) -> Graph | None:
    """`graph` with its forward and backward pass in the mixed precision of `torch.autocast(dtype=torch.bfloat16)`;
    parameters, their gradients and the update stay as they are. None where nothing of 32 bits would change."""
    casts = _Casts(graph)
    for index, op in enumerate(graph.ops):
        casts.take(index, op)
    return casts.graph() if casts.changed else None


class _Casts:
    """The graph with casts in the making: `take` appends one op after the other."""

    def __init__(self, graph: Graph) -> None:
        self.before = graph
        self.storages = list(graph.storages)
        self.ops: list[Op] = []
        self.place: dict[int, int] = {}
        self.low: set[int] = set()
        self.copy: dict[int, tuple[int, int]] = {}
        """Storage of 32 bits -> its 16-bit copy, and the op that makes it."""
        self.changed = False

    def take(self, index: int, op: Op) -> None:
        """Append op `index`, with the casts that it needs."""
        after = {self.place[one] for one in op.after}
        reads = list(op.reads)
        low = op.phase != "update" and op.target.startswith(LOW)
        if low:
            for at, storage in enumerate(reads):
                if self._wide(storage) and storage not in op.writes:
                    reads[at], maker = self._narrowed(storage, op)
                    after.add(maker)
            self.changed = True
        written = {storage for storage in op.writes if storage in self.copy}
        for storage in written:
            del self.copy[storage]
        self.place[index] = len(self.ops)
        creates, kept = self._results(op, low)
        self.ops.append(
            replace(op, after=tuple(sorted(after)), reads=tuple(dict.fromkeys(reads)), creates=creates, reuse=())
        )
        for storage, wide in kept:  # a parameter's gradient is converted to 32 bits at once
            self.ops.append(
                Op("cast", "aten._to_copy.default", (self.place[index],), (wide,), (storage,), op.phase, op.module)
            )
            self.place[index] = len(self.ops) - 1

    def _wide(self, storage: int) -> bool:
        return self.storages[storage].dtype == "float32" and storage not in self.low

    def _narrowed(self, storage: int, op: Op) -> tuple[int, int]:
        if storage not in self.copy:
            self.storages.append(self._half(self.storages[storage], kind="temporary"))
            made = len(self.storages) - 1
            creator = self.before.creator[storage]
            after = () if creator is None else (self.place[creator],)
            self.ops.append(Op("cast", "aten._to_copy.default", after, (made,), (storage,), op.phase, op.module))
            self.copy[storage] = made, len(self.ops) - 1
        return self.copy[storage]

    def _results(self, op: Op, low: bool) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
        """The storages that `op` creates now, and for each parameter's gradient among them the pair of its 16-bit and
        its 32-bit storage."""
        floats = [one for one in op.reads if self.storages[one].dtype in ("float32", "bfloat16")]
        floats = floats[:1] if op.target.startswith(FIRST) else floats
        narrow = low or (
            bool(floats)
            and op.phase in ("forward", "backward")
            and not op.target.startswith(HIGH)
            and all(one in self.low for one in floats)
        )
        creates, kept = list(op.creates), []
        for at, storage in enumerate(op.creates if narrow else ()):
            info = self.storages[storage]
            if info.dtype != "float32" or info.output:
                continue
            if info.kind == "gradient" and low:
                self.storages.append(self._half(info, kind="temporary"))
                creates[at] = len(self.storages) - 1
                kept.append((creates[at], storage))
            elif info.kind != "gradient":
                self.storages[storage] = self._half(info)
                self.low.add(storage)
        return tuple(creates), kept

    def _half(self, info: Storage, kind: str | None = None) -> Storage:
        return replace(
            info, bytes=-(-info.bytes // 2), dtype="bfloat16", kind=kind or info.kind, region="arena", output=False
        )

    def graph(self) -> Graph:
        """The whole graph."""
        return replace(self.before, ops=tuple(self.ops), storages=tuple(self.storages), times=None)
