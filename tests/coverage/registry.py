"""The registry of models: each file of models fills one `Source`; `entries()` gives all of them by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Made = dict[str, Any]
"""What a builder returns.

    model       the module, in the mode that it is trained in
    batches     list of batches of equal shapes, given in turn
    loss, step  as in `roam.profile`; absent: the model's own loss
    optimizer   an optimizer, or a tuple of them; absent: AdamW over all parameters
    on_mismatch as in `roam.hook`; absent: its default
    extra       function without arguments -> whatever else the step leaves (an EMA copy, a log), compared as well
"""

SOURCES = {
    "transformers: text": ("transformers_text",),
    "transformers: images": ("transformers_vision", "transformers_convolution", "transformers_dense"),
    "transformers: sound, several modes, documents, time series": (
        "transformers_sound",
        "transformers_modes",
        "transformers_other",
    ),
    "diffusers": ("diffusers_unets", "diffusers_transformers", "diffusers_video", "diffusers_autoencoders"),
    "plain torch": (
        "plain_layers",
        "plain_sequences",
        "plain_tables",
        "plain_losses",
        "plain_training",
        "plain_steps",
    ),
}
"""The files of models by heading."""


@dataclass(frozen=True)
class Entry:
    """One model, of the file `source`.

    `ci`: it runs in the ordinary tests as well. `refused`: it is refused, rightly, with these words among the reason.
    """

    name: str
    source: str
    family: str
    build: Callable[[], Made]
    ci: bool = False
    refused: str = ""


class Source:
    """The models of one file, in the order in which they are added."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: dict[str, Entry] = {}

    def add(self, name: str, family: str, build: Callable[[], Made], ci: bool = False, refused: str = "") -> None:
        """Add a model. Raises ValueError when the name is taken."""
        if name in self.entries:
            raise ValueError(f"two models are called {name}")
        self.entries[name] = Entry(name, self.name, family, build, ci, refused)

    def model(
        self, family: str, ci: bool = False, refused: str = ""
    ) -> Callable[[Callable[[], Made]], Callable[[], Made]]:
        """Decorator for a builder; the model has its function's name."""

        def register(build: Callable[[], Made]) -> Callable[[], Made]:
            self.add(build.__name__, family, build, ci, refused)
            return build

        return register


def entries() -> dict[str, Entry]:
    """Every model by name. Raises ValueError when two files use one name."""
    found: dict[str, Entry] = {}
    for source in [source for sources in SOURCES.values() for source in sources]:
        for name, entry in importlib.import_module(f"tests.coverage.models.{source}").MODELS.entries.items():
            if name in found:
                raise ValueError(f"two models are called {name}: in {found[name].source} and {source}")
            found[name] = entry
    return found
