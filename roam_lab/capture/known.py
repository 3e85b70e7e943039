"""What earlier traces of a step have shown, so that the next one has it from the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from roam_lab.capture.sources.places import Changing, OptimizerPlace, ValuePlace


@dataclass
class Known:
    """What earlier traces of the step have shown.

    Shapes depend on `fixed`, numbers read out of tensors (`HostValues`), and on `frozen`, numbers of the batch (indices
    of leaves). `places`: of the Python numbers that change, and are symbols. `filled`: entries of lists that the step
    adds to. `carried`: of the tensors that it reads and binds anew. `later`: names of parameters whose gradients it
    leaves for the next step to add to. `as_eager`: whether libraries are told that nothing is traced
    (eager_answers.py).
    """

    fixed: set[int] = field(default_factory=set)
    frozen: set[int] = field(default_factory=set)
    places: list[ValuePlace] = field(default_factory=list)
    filled: list[ValuePlace] = field(default_factory=list)
    carried: list[ValuePlace] = field(default_factory=list)
    later: set[str] = field(default_factory=set)
    as_eager: bool = True

    @classmethod
    def of(cls, changing: Changing) -> Known:
        """What is known before a first trace."""
        return cls(places=list(changing.numbers), filled=list(changing.filled), carried=list(changing.carried))

    def copied(self) -> Known:
        """As it is now: traces after this one learn more."""
        return replace(
            self, fixed=set(self.fixed), places=list(self.places), filled=list(self.filled), carried=list(self.carried)
        )

    def present(self) -> list[Any]:
        """What stands at all places that a trace fills with symbols and fakes."""
        return [place.read() for place in (*self.places, *self.carried)]

    def put_back(self, present: Sequence[Any]) -> None:
        """Write to the places what stood there, also where their containers could not be reached meanwhile: a probe
        (sources/probe.py) may have stood in place of one."""
        for place, value in zip((*self.places, *self.carried), present, strict=True):
            if not isinstance(place, OptimizerPlace) and place.read() is not value:
                place.write(value)
