"""What fits where, over sequence lengths: a step captured and planned with its batch at other lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from roam_lab.app.session import profile
from roam_lab.errors import InputError
from roam_lab.plan import Profile
from roam_lab.plan.devices import devices_for
from roam_lab.plan.fit import Fit
from roam_lab.plan.needs import Needs
from roam_lab.plan.runs import EXTRA_TIMES

if TYPE_CHECKING:
    from roam_lab.app.workbench import Workbench


def fit_over_lengths(
    bench: Workbench, name: str | None, lengths: Sequence[int], extra_times: Sequence[float] | None = None
) -> Fit:
    """The needs of a profile's step (None: the latest) at sequence lengths, without running it; `extra_times`: what
    plans may add to the step's time (None: EXTRA_TIMES).

    Raises InputError where the model is not known, for a batch without sequences, and for a length that the model has
    no positions for.
    """
    from roam_lab.capture.batch_size import batch_size_of
    from roam_lab.capture.sequence_length import longest_sequence, sequence_length_of, with_sequence_length

    known = bench.profile_named(name)
    label = next(title for title, one in bench.profiles.items() if one is known)
    if label not in bench.made:
        raise InputError(f"the model that {label!r} is a profile of is not known here; profile it first")
    made, tell = bench.made[label], bench.progress
    present, most = sequence_length_of(made.batch), longest_sequence(made.model)
    if present is None:
        raise InputError(f"{label}: the batch holds no sequences of tokens, so it has no length to vary; vary its size")
    for length in lengths:
        if most is not None and length > most:
            raise InputError(f"{label}: the model has {most:,} positions, fewer than {length:,}; give shorter lengths")

    def captured(length: int) -> Profile:
        tell(f"capturing sequence length {length:,}", 0.0)
        if length == present:
            return known
        title = f"{label}, sequence length {length}"
        batch = with_sequence_length(made.batch, length)
        return profile(made.model, batch, **made.step_arguments(), fake=True, name=title)

    needs = Needs(captured, tell)
    allowed = EXTRA_TIMES if extra_times is None else tuple(sorted(set(extra_times) - {0}))
    points = tuple(needs.point(length, allowed) for length in sorted(set(lengths)))
    devices = devices_for(known.environment.get("device", ""))
    bench.fits[label] = found = Fit(label, points, devices, "sequence length", batch_size_of(made.batch))
    return found
