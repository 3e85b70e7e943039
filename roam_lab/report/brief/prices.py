"""What GPUs cost: examples or the user's own prices, and the hours for which costs are computed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from roam_lab.errors import InputError
from roam_lab.plan.devices import Device

CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class Prices:
    """`per_hour`: of a GPU by its name or the beginning of it; `currency`: a few letters, USD where it is None (in
    which the examples are); `gpus`, `hours`: how many run how long in a month. All can be edited in the page."""

    per_hour: Mapping[str, float] = field(default_factory=dict)
    currency: str | None = None
    gpus: int = 1
    hours: float = 300.0

    def of(self, devices: Iterable[Device]) -> tuple[Device, ...]:
        """`devices` at these prices. Raises InputError for a name that is none of theirs, or of several."""
        known = {device.name: device for device in devices}
        for text, price in self.per_hour.items():
            name = _named(text, list(known))
            known[name] = replace(known[name], price_per_hour=price)
        if self.currency not in (None, CURRENCY):  # examples in another currency would be wrong
            priced = {_named(text, list(known)) for text in self.per_hour}
            known = {
                name: device if name in priced else replace(device, price_per_hour=None)
                for name, device in known.items()
            }
        return tuple(known.values())


def _named(text: str, names: list[str]) -> str:
    found = [name for name in names if name.lower() == text.lower()]
    found = found or [name for name in names if name.lower().startswith(text.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"several GPUs are named {text!r}: {', '.join(found)}; give the whole name of one")
    near = difflib.get_close_matches(text, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
    raise InputError(f"no GPU of the page is named {text!r}; {hint}")
