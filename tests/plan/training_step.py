"""A generated training step of any size: blocks with branches forwards, their backward, and AdamW-like updates."""

from __future__ import annotations

from roam_lab.ir import Graph, Op, Storage

OPS_A_BLOCK = 48


class _Writer:
    """Ops and storages as they come; a dependence on whoever wrote each storage that an op reads."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.storages: list[Storage] = []
        self.writer: list[int] = []

    def op(self, name: str, reads: list[int], size: int | None, phase: str) -> int:
        """Append an op that reads storages; it creates one of `size` bytes (None: it works in place)."""
        index = len(self.ops)
        creates: tuple[int, ...] = ()
        if size is not None:
            creates = (len(self.storages),)
            self.storages.append(Storage(size))
            self.writer.append(index)
        after = tuple(sorted({self.writer[storage] for storage in reads}))
        self.ops.append(Op(f"{name}_{index}", f"aten.{name}.default", after, creates, tuple(sorted(set(reads))), phase))
        return creates[0] if creates else -1

    def chain(self, name: str, before: int, phase: str) -> None:
        """Append an op that creates and reads nothing, after op `before` (an update in place)."""
        self.ops.append(Op(f"{name}_{len(self.ops)}", f"aten.{name}.default", (before,), phase=phase))


def training_step(blocks: int, unit: int = 64 * 1024) -> Graph:
    """A step of about `blocks` * OPS_A_BLOCK ops. Each block has three branches, a join and a residual."""
    out = _Writer()
    x = out.op("embedding", [], unit, "forward")
    saved: list[list[int]] = []
    for block in range(blocks):
        normed = out.op("norm", [x], unit, "forward")
        branches = [out.op("mm", [normed], unit, "forward") for _ in range(3)]
        joined = out.op("attention", branches, unit, "forward")
        wide = out.op("mm", [joined], 4 * unit, "forward")
        active = out.op("gelu", [wide], 4 * unit, "forward")
        narrow = out.op("mm", [active], unit, "forward")
        saved.append([x, normed, *branches, joined, wide, active])
        x = out.op("add", [x, narrow], unit + 64 * (block % 3), "forward")
    loss = out.op("loss", [x], 4, "forward")
    gradients: list[int] = []
    grad = out.op("loss_backward", [loss, x], unit, "backward")
    for kept in reversed(saved):
        x, normed, *branches, joined, wide, active = kept
        weights = [out.op("mm", [active, grad], 12 * unit, "backward")]
        back = out.op("mm", [grad], 4 * unit, "backward")
        back = out.op("gelu_backward", [wide, back], 4 * unit, "backward")
        weights.append(out.op("mm", [joined, back], 12 * unit, "backward"))
        back = out.op("mm", [back], unit, "backward")
        parts = [out.op("attention_backward", [*branches, back], unit, "backward") for _ in range(3)]
        weights += [out.op("mm", [normed, part], unit, "backward") for part in parts]
        inner = out.op("add", parts, unit, "backward")
        inner = out.op("norm_backward", [x, inner], unit, "backward")
        grad = out.op("add", [grad, inner], unit, "backward")
        gradients += weights
    for gradient in gradients:
        _update(out, gradient)
    return Graph(f"training_step_{blocks}", tuple(out.storages), tuple(out.ops), unlisted_resident_bytes=unit)


def _update(out: _Writer, weight: int) -> None:
    """AdamW on one gradient: two ops consume it, two more need temporaries of its size."""
    size = out.storages[weight].bytes
    out.op("lerp_", [weight], None, "update")
    out.op("addcmul_", [weight], None, "update")
    both = len(out.ops) - 1
    root = out.op("sqrt", [], size, "update")
    out.ops[-1] = Op(**{**_fields(out.ops[-1]), "after": (both,)})
    scaled = out.op("div", [root], size, "update")
    out.op("addcdiv_", [scaled], None, "update")


def _fields(op: Op) -> dict[str, object]:
    return {name: getattr(op, name) for name in Op.__dataclass_fields__}
