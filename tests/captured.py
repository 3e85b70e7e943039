"""Captured training steps, and the judge, for tests: what lies in tests/data is always there, larger steps only where
../shared is."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parent / "data"
JUDGE = Path(__file__).parent / "judge.py"
SHARED = Path(__file__).parents[2] / "shared"
HERE = tuple(sorted(path.name.removesuffix(".json.gz") for path in (DATA / "graphs").glob("*.json.gz")))
"""Names of the steps in the repository."""
ALL = (*HERE, *sorted({path.name.removesuffix(".json.gz") for path in (SHARED / "graphs").glob("*.json.gz")} - {*HERE}))


def step_file(name: str) -> Path:
    """The file of the captured step of that name."""
    own = DATA / "graphs" / f"{name}.json.gz"
    return own if name in HERE else SHARED / "graphs" / f"{name}.json.gz"
