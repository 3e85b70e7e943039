"""The parts of the page that decide, each a function to HTML. All text from plans passes through `xml_text`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from roam_lab.plan.devices import Device
from roam_lab.plan.fit import FAR, MARGIN, Fit
from roam_lab.report.brief.decision import Decision, Way
from roam_lab.report.brief.html import cell, items, row_title, table, unbroken
from roam_lab.report.brief.prices import CURRENCY, Prices
from roam_lab.report.fit import estimate_text, run_text
from roam_lab.report.graphs import captured_label, graph_of
from roam_lab.report.headline import eager_bytes
from roam_lab.report.other_kernels import captured_on_cpu
from roam_lab.report.safe_text import printable, xml_text
from roam_lab.report.sentences import unseen_text
from roam_lab.report.units import bytes_text, change_text, exact_text

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.runtime.verification import Verification


MARGIN_TEXT = f"{100 * MARGIN:g} %"
ANOTHER_DEVICE = (
    "Kernels of another device may keep other tensors than those captured here; capture on that device to be sure."
)


def headline(decision: Decision, plan: Plan, verification: Verification | None, profile: Profile | None = None) -> str:
    """The result in sentences that say how each figure is known; the sentence on money comes after them.

    Reserved memory first: it decides on which GPU the step fits, and all tables of the page compare it. Then the whole
    step, as the other faces tell it.
    """
    graph = graph_of(plan)
    device = plan.environment.get("device", "an unnamed device")
    sub = f"{len(graph.ops):,} operators, captured on {device}, torch {plan.environment.get('torch', 'not recorded')}"
    eager, ours = decision.eager, decision.plan
    alive = graph.resident_bytes + eager_bytes(plan, profile)
    reserved = [max(way.whole_bytes, way.device_bytes) for way in (eager, ours)]
    change = change_text(*reserved) or "no change"
    if verification is None:
        bits = "not verified yet: roam verify compares every bit"
    else:
        bits = (
            "the same numbers, bit for bit, verified" if verification.identical else "the numbers differ: do not use it"
        )
    time = f"{100 * plan.extra_time:.1f} % more time" if plan.extra_time > 0 else "no more time"
    lead = (
        f"One training step{_at(decision)} reserves {bytes_text(reserved[0])} of memory with plain PyTorch and "
        f"{bytes_text(reserved[1])} with this plan ({change}, {time}; predicted; {bits})."
    )
    if alive != reserved[0] or ours.whole_bytes != reserved[1]:
        without = change_text(alive, ours.whole_bytes) or "no change"
        lead += (
            f" Without what allocators add, the whole step goes from {bytes_text(alive)}, its live tensors with plain "
            f"PyTorch, to {bytes_text(ours.whole_bytes)} with the plan's arena ({without})."
        )
    lead += f" {_smallest(decision)}"
    return (
        f'<p class="sub">{xml_text(sub)}</p>\n<p class="lead">{xml_text(unbroken(lead))}</p>\n'
        '<p id="worth" aria-live="polite">What it saves is reckoned by a script in this page.</p>'
    )


def _at(decision: Decision) -> str:
    return "" if decision.size is None else f" at {decision.axis} {decision.size:,}"


def _smallest(decision: Decision) -> str:
    """The smallest GPU for both, with what is spare."""
    pair = [(way, decision.smallest(way)) for way in (decision.eager, decision.plan)]
    names = [
        f"none for {way.name}"
        if device is None
        else f"{device.name} for {way.name} ({bytes_text(way.spare_bytes(device))} to spare)"
        for way, device in pair
    ]
    (eager, before), (ours, after) = pair
    if before is not None and before == after:
        spare = [bytes_text(way.spare_bytes(before)) for way in (eager, ours)]
        names = [f"{before.name} for both ({spare[0]} to spare with {eager.name}, {spare[1]} with {ours.name})"]
    return f"The smallest GPU that holds it with a margin of {MARGIN_TEXT}: {', '.join(names)}."


def measured(verification: Verification | None) -> str:
    """What was measured and on which device, or that nothing was."""
    if verification is None:
        return "<p>Predicted, not yet measured: roam verify runs both and measures.</p>"
    eager, planned = (run.peak_above_base_bytes for run in (verification.eager, verification.planned))
    bits = "the same numbers, bit for bit" if verification.identical else "but the numbers differ: do not use it"
    if verification.device.startswith("cuda"):
        time = f"at {verification.time_ratio:.2f} times its step time there"
    else:
        time = f"its step time on {verification.device} says nothing about a GPU's"
    sentence = (
        f"Measured on {verification.device}: the planned step took {bytes_text(planned)} above what the process held "
        f"before, where eager PyTorch took {bytes_text(eager)} ({change_text(eager, planned)}); {time}; {bits}."
    )
    return f"<p>{xml_text(sentence)}</p>"


def cards(decision: Decision, plan: Plan, profile: Profile | None = None) -> str:
    """The main figures, large, each with its source."""
    eager, ours = decision.eager, decision.plan
    proof = "proven: no order needs less" if plan.optimal else f"at most {100 * plan.gap:.2f} % above the best order"
    resident = graph_of(plan).resident_bytes
    alive = graph_of(plan).resident_bytes + eager_bytes(plan, profile)
    shown = [
        (bytes_text(alive), "plain PyTorch, whole step (predicted: resident bytes, and its tensors at the peak)"),
        (bytes_text(eager.whole_bytes), f"plain PyTorch, reserved ({eager.how})"),
        (bytes_text(ours.whole_bytes), f"this plan, whole step ({ours.how})"),
        (bytes_text(resident), "of both always there: weights, optimizer state, batch (counted)"),
        (bytes_text(plan.peak_bytes), f"of the plan at its peak, live; {proof}"),
    ]
    if plan.extra_time > 0:
        basis = f"more time, predicted ({plan.environment.get('times', 'times of the graph')})"
        shown.append((f"{100 * plan.extra_time:.1f} %", basis))
    inner = "".join(
        f'<div class="card"><b>{xml_text(figure)}</b><span>{xml_text(what)}</span></div>' for figure, what in shown
    )
    return f'<div class="cards">{inner}</div>'


def gpus(decision: Decision, prices: Prices) -> str:
    """On which GPU it fits, and what a sample costs there at prices that the reader edits."""
    pair = (decision.eager, decision.plan)
    head = ["GPU", "memory", *(way.name for way in pair), *(f"cost, {way.name}" for way in pair), "price per hour"]
    lines = [_gpu_row(decision, device) for device in decision.devices]
    return "\n".join(
        [
            "<h2>On which GPU it fits, and what it costs there</h2>",
            table(f"One step{_at(decision)} on each GPU; what it leaves free, predicted", head, lines),
            f'<p class="inputs"><label>currency <input id="currency" value="{xml_text(prices.currency or CURRENCY)}" '
            'maxlength="8"></label> <label>GPUs <input id="gpus" type="number" min="1" '
            f'value="{prices.gpus}"></label> <label>hours a month each <input id="hours" type="number" min="0" '
            f'value="{prices.hours:g}"></label></p>',
            f'<p class="note" id="cost-note">{xml_text(_cost_note(decision))}</p>',
        ]
    )


def _gpu_row(decision: Decision, device: Device) -> str:
    cells = [row_title(device.name), cell(bytes_text(device.memory_bytes))]
    for way in decision.ways[:2]:
        spare, outcome = way.spare_bytes(device), way.outcome(device)
        words = f"{outcome}, {bytes_text(abs(spare))} {'free' if spare >= 0 else 'missing'}"
        words = f"{outcome}, by giving back its cache" if way.gives_back(device) else words
        cells.append(cell(words, {"fits": "yes", "barely fits": "barely", "too large": "no"}[outcome]))
    cells += [f'<td data-cost="{number}" data-device="{xml_text(device.name)}">…</td>' for number in (0, 1)]
    price = "" if device.price_per_hour is None else f"{device.price_per_hour:.2f}"
    label = xml_text(f"price per hour of {device.name}")
    cells.append(
        f'<td><input type="number" min="0" step="0.01" value="{price}" data-price="{xml_text(device.name)}" '
        f'aria-label="{label}"></td>'
    )
    return "".join(cells)


def _cost_note(decision: Decision) -> str:
    each = "a million samples" if decision.samples else "a million steps (how many samples a step has is not known)"
    known = f"Cost of {each}, from the price and the time of a step. "
    if not any(way.seconds for way in decision.ways):
        return known + "Speed unknown: the graph has no operation counts, so no cost is given; capture the step again."
    measured = ", ".join(sorted(decision.measured_on))
    return (
        known
        + (f"Step time measured op by op on {measured}; of others " if measured else "Step times are not measured: ")
        + "the roofline of each GPU's data sheet (arithmetic and memory, op by op). Kernels reach a part of it, "
        "so trust ratios more than amounts. Prices are examples until you edit them, in the table or by --price."
    )


def ways(decision: Decision) -> str:
    """Plans beside what PyTorch offers itself."""
    head = ["way", "reserved", "against plain PyTorch", "smallest GPU", "lowest cost", "numbers", "how it is known"]
    lines = [_way_row(decision, number, way) for number, way in enumerate(decision.ways)]
    return "\n".join(
        [
            "<h2>What else would do</h2>",
            "<p>Ways that need no plan stand beside those of ours. They can be combined: a plan of a step that already "
            "uses them needs less still.</p>",
            table(f"Ways to run the step{_at(decision)}", head, lines),
        ]
    )


def _way_row(decision: Decision, number: int, way: Way) -> str:
    change = "" if number == 0 else change_text(decision.eager.whole_bytes, way.whole_bytes)
    smallest = decision.smallest(way)
    cells = [
        cell(bytes_text(way.whole_bytes)),
        cell(change),
        cell("none" if smallest is None else smallest.name),
        f'<td data-cheapest="{number}">…</td>',
        cell("the same" if way.same_bits else "others"),
        cell(way.how, "text"),
    ]
    return row_title(way.name) + "".join(cells)


def largest(fit: Fit | None) -> str:
    """The largest size of each GPU; nothing without a fit."""
    if fit is None:
        return ""
    head = ["GPU", *(run_text(run) for run in fit.runs)]
    lines = [
        row_title(device.name) + "".join(cell(estimate_text(fit.largest_batch(device, run))) for run in fit.runs)
        for device in fit.devices
        if device.is_gpu
    ]
    note = (
        f"Predicted; no margin is left. ~: on a line between captured sizes; ~*: extrapolated beside them; or more: "
        f"the largest captured size fits, and beyond {FAR} times of it nothing is predicted."
    )
    title = f"Largest {fit.axis} of each GPU"
    return f'<h2>{title}</h2>\n{table(title, head, lines)}\n<p class="note">{xml_text(note)}</p>'


def sources(
    decision: Decision, plan: Plan, profile: Profile | None, fit: Fit | None, verification: Verification | None
) -> str:
    """Where each figure of the page is from: measured on, predicted by, assumed."""
    eager, ours = decision.eager, decision.plan
    sentences = [
        f"Plain PyTorch, {exact_text(eager.whole_bytes)}, {eager.how}, of the {captured_label(profile)}. The "
        f"simulation holds what eager holds, the allocator's rounding of weights included.",
        f"This plan, {exact_text(ours.whole_bytes)}, {ours.how}. "
        + (
            f"On a GPU an allocator takes {bytes_text(ours.device_bytes - ours.whole_bytes)} more, as it rounds "
            "weights up; whether it fits is judged with that."
            if ours.device_bytes > ours.whole_bytes
            else "An allocator's rounding of weights comes on top."
        ),
        f"Margin: assumed. Fits: at least {MARGIN_TEXT} of the GPU stays free; barely fits: less does, or it runs only "
        "because PyTorch gives back what it caches, again and again, which takes time. Of each GPU, "
        "1 GiB is taken as lost to the driver's context and kernels.",
        _cost_note(decision),
        "GPUs, hours and prices: assumed; examples, not offers, until they are edited.",
        captured_on_cpu(graph_of(plan), plan.environment) or ANOTHER_DEVICE,
    ]
    if plan.extra_time > 0:
        times = plan.environment.get("times", "times of the graph")
        sentences.append(f"More time of the plan, {100 * plan.extra_time:.1f} %: predicted by {times}.")
    if fit is not None:
        sizes = ", ".join(f"{point.batch:,}" for point in fit.points)
        sentences.append(
            f"Sizes over {fit.axis}: {sizes} were captured and planned; others (~) lie on straight lines through them."
        )
    if profile is not None and profile.measured is not None:
        peak = max(profile.measured.live_bytes, default=0)
        unseen = unseen_text(profile)
        sentences.append(
            f"One eager step was measured ({profile.measured.how}): {bytes_text(peak)} live at its peak, "
            f"{bytes_text(profile.captured_peak_bytes)} predicted{f'; {unseen}' if unseen else ''}."
        )
    if verification is not None:
        sentences.append(
            f"Eager and planned each ran {verification.steps} steps in a process of its own on {verification.device}, "
            "from the same seed; every loss, parameter, buffer and optimizer state was compared bit for bit."
        )
    environment = ", ".join(f"{key} {value}" for key, value in sorted(plan.environment.items()))
    if environment:
        sentences.append(f"Environment: {environment}.")
    return f"<h2>Where each figure is from</h2>\n{measured(verification)}\n{items(sentences)}"


def figures(decision: Decision) -> str:
    """The figures that the page's script computes with, as JSON from which no text can break out into the page."""
    data = {
        "samples": decision.samples,
        "size": None if decision.size is None else f"{decision.axis} {decision.size:,}",
        "ways": [
            {
                "name": printable(way.name),
                "ours": way.ours,
                "same": way.same_bits,
                "outcome": {printable(device.name): way.outcome(device) for device in decision.devices},
                "seconds": {printable(name): seconds for name, seconds in way.seconds.items()},
            }
            for way in decision.ways
        ],
        "devices": [printable(device.name) for device in decision.devices],
        "measured": sorted(printable(name) for name in decision.measured_on),
    }
    text = json.dumps(data).replace("<", "\\u003c").replace("&", "\\u0026")
    return f'<script type="application/json" id="figures">{text}</script>'
