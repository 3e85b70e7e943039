"""The parts of the page, each a function to HTML. All text from plans passes through `xml_text`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from roam_lab.ir import captured_order
from roam_lab.plan.devices import DEVICES
from roam_lab.plan.fit import Fit
from roam_lab.plan.runs import RUNS, Point
from roam_lab.report import rows as said
from roam_lab.report.fit import estimate_text
from roam_lab.report.legal import xml_text
from roam_lab.report.other_kernels import captured_on_cpu
from roam_lab.report.text import plan_text
from roam_lab.report.units import bytes_text, change_text, exact_text

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.runtime.verification import Verification


ANOTHER_DEVICE = (
    "Kernels of another device may keep other tensors than those captured here; capture on that device to be sure."
)
SHORT = 20
"""Cells of up to this many letters are not broken into lines."""


def headline(plan: Plan, verification: Verification | None) -> str:
    """What it comes to, in two sentences that name whether a figure is measured or predicted."""
    graph = said.graph_of(plan)
    device = plan.environment.get("device", "an unnamed device")
    sub = f"{len(graph.ops):,} operators, captured on {device}, torch {plan.environment.get('torch', 'not recorded')}"
    if verification is not None:
        eager, planned = (run.peak_above_base_bytes for run in (verification.eager, verification.planned))
        bits = "the same numbers, bit for bit" if verification.identical else "but the numbers differ: do not use it"
        lead = (
            f"Measured on {verification.device}: the planned step took {bytes_text(planned)} above what the process "
            f"held before, where eager PyTorch took {bytes_text(eager)} ({change_text(eager, planned)}), at "
            f"{verification.time_ratio:.2f} times its step time; {bits}."
        )
    else:
        lead = f"Predicted, not yet measured: {said.verdict_sentence(plan)}"
    return f'<p class="sub">{xml_text(sub)}</p>\n<p class="lead">{xml_text(lead)}</p>'


def cards(plan: Plan, profile: Profile | None, verification: Verification | None) -> str:
    """The figures at a glance."""
    graph = said.graph_of(plan)
    eager = said.reservation(plan, profile).above_resident
    proof = "proven: no order needs less" if plan.optimal else f"at most {100 * plan.gap:.2f} % above the best order"
    shown = [
        (bytes_text(graph.resident_bytes), "always there: weights, optimizer state, batch"),
        (bytes_text(eager), "on top without the plan (predicted: allocator simulated)"),
        (bytes_text(plan.arena_bytes), f"on top with the plan (predicted; {change_text(eager, plan.arena_bytes)})"),
        (bytes_text(plan.peak_bytes), f"live peak of the planned order, {proof}"),
    ]
    if verification is not None:
        shown.append(
            (f"{verification.time_ratio:.2f} x", f"step time against eager, measured on {verification.device}")
        )
    inner = "".join(
        f'<div class="card"><b>{xml_text(figure)}</b><span>{xml_text(what)}</span></div>' for figure, what in shown
    )
    return f'<div class="cards">{inner}</div>'


def gpus(plan: Plan, fit: Fit | None, batch: int | None) -> str:
    """On which GPU it fits, the largest batch, and what that is worth at prices that the reader edits."""
    known = fit or _only_this_step(plan)
    size = batch if fit is not None and batch is not None else known.points[0].batch
    head = ["GPU", "memory", "this step without", "this step with the plan"]
    head += ["largest batch without", "with the plan"] if fit is not None else []
    lines = []
    for device in known.devices:
        fits = {run: known.fits(device, size, run) for run in RUNS}
        flags = " ".join(f'data-{run}="{"yes" if fits[run] else "no"}"' for run in RUNS)
        cells = [_cell(device.name), _cell(bytes_text(device.memory_bytes))]
        cells += [
            f'<td class="{"yes" if fits[run] else "no"}">{"fits" if fits[run] else "too small"}</td>' for run in RUNS
        ]
        if fit is not None:
            cells += [_cell(estimate_text(known.largest_batch(device, run))) for run in RUNS]
        price = "" if device.price_per_hour is None else f"{device.price_per_hour:.2f}"
        label = xml_text(f"price per hour of {device.name}")
        cells.append(f'<td><input type="number" min="0" step="0.01" value="{price}" aria-label="{label}"></td>')
        lines.append(f'<tr data-device="{xml_text(device.name)}" {flags}>{"".join(cells)}</tr>')
    which = f"batch size {size:,}" if fit is not None else "the batch that was captured"
    return "\n".join(
        [
            f"<h2>On which GPU it fits ({xml_text(which)})</h2>",
            '<div class="scroll"><table>',
            f"<tr>{''.join(f'<th>{xml_text(title)}</th>' for title in [*head, 'price per hour'])}</tr>",
            *lines,
            "</table></div>",
            "<h2>What it is worth</h2>",
            '<p><label>GPUs <input id="gpus" type="number" min="1" value="1"></label> &nbsp; <label>hours a month '
            '<input id="hours" type="number" min="0" value="300"></label></p>',
            '<p id="worth" aria-live="polite">Prices are examples: edit them in the table above.</p>',
        ]
    )


def _only_this_step(plan: Plan) -> Fit:
    graph = said.graph_of(plan)
    point = Point(1, graph.resident_bytes, said.reservation(plan).above_resident, plan.arena_bytes)
    return Fit(graph.name, (point,), DEVICES)


def assumptions(plan: Plan, profile: Profile | None, fit: Fit | None, verification: Verification | None) -> str:
    """What the figures rest on, and how they were got."""
    order = said.captured_label(profile)
    told = [
        "Sizes without the word measured are predicted from the captured graph: every tensor's bytes and lifetime.",
        f"Without the plan: what PyTorch's CUDA caching allocator would reserve, by simulation: {order}.",
        "With the plan: the arena, whose addresses are all fixed beforehand; it has no fragmentation beyond that.",
        "Of each GPU, 1 GiB is taken as lost to the driver's context and kernels. Prices are examples, not offers.",
        captured_on_cpu(said.graph_of(plan), plan.environment) or ANOTHER_DEVICE,
    ]
    if fit is not None:
        sizes = ", ".join(f"{point.batch:,}" for point in fit.points)
        told.append(
            f"Batch sizes {sizes} were captured and planned; other sizes (~) lie on straight lines through them."
        )
    if profile is not None and profile.measured is not None:
        peak = max(profile.measured.live_bytes, default=0)
        told.append(
            f"One eager step was measured ({profile.measured.how}): {bytes_text(peak)} live at its peak, "
            f"{bytes_text(profile.captured_peak_bytes)} predicted."
        )
    if verification is not None:
        told.append(
            f"Eager and planned each ran {verification.steps} steps in a process of its own on {verification.device}, "
            "from the same seed; every loss, parameter, buffer and optimizer state was compared bit for bit."
        )
    environment = ", ".join(f"{key} {value}" for key, value in sorted(plan.environment.items()))
    if environment:
        told.append(f"Environment: {environment}.")
    return f"<h2>Assumptions, and how it was measured</h2>\n<ul>{_items(told)}</ul>"


def technical(plan: Plan, profile: Profile | None, pictures: Sequence[tuple[str, str]]) -> str:
    """Pictures, the plan's own report, and the largest of what is alive at both peaks."""
    graph = said.graph_of(plan)
    parts = ["<h2>For engineers</h2>"]
    parts += [f"<figure>{svg}<figcaption>{xml_text(caption)}</figcaption></figure>" for caption, svg in pictures]
    parts.append(f"<pre>{xml_text(plan_text(plan, profile))}</pre>")
    for what, order in (("captured peak (planned graph)", captured_order(graph)), ("planned peak", plan.order)):
        alive = said.alive_at_peak(graph, order)
        if alive:
            lines = "".join(
                f"<tr>{_cell(one.op)}{_cell(bytes_text(one.size_bytes))}{_cell(exact_text(one.size_bytes))}"
                f"{_cell(one.kind)}{_cell(one.module)}{_cell(one.source)}</tr>"
                for one in alive
            )
            parts += [
                f"<h2>Alive at the {what}</h2>",
                '<div class="scroll"><table><tr><th>made by</th><th>size</th><th>bytes</th><th>kind</th><th>module</th>'
                f"<th>source</th></tr>{lines}</table></div>",
            ]
    return "\n".join(parts)


def _cell(text: str) -> str:
    short = ' class="no-break"' if len(text) <= SHORT else ""
    return f"<td{short}>{xml_text(text)}</td>"


def _items(sentences: Iterable[str]) -> str:
    return "".join(f"<li>{xml_text(sentence)}</li>" for sentence in sentences)
