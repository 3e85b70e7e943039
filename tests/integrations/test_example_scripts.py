"""The example scripts, and the plain ones that they are made from: the same losses, a few lines apart."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
INSTEAD = "# + in place of: "


def plain(text):
    """The script without what is marked, and how many lines that changes."""
    lines, changed = [], 0
    for line in text.splitlines():
        changed += "  # +" in line
        if INSTEAD in line:
            lines.append(line[: len(line) - len(line.lstrip())] + line.partition(INSTEAD)[2])
        elif not line.endswith("  # +"):
            lines.append(line)
    return "\n".join(lines), changed


@pytest.mark.parametrize("library", ["lightning", "accelerate"])
def test_a_script_and_its_plain_twin(library, monkeypatch, tmp_path):
    pytest.importorskip(library)
    monkeypatch.setenv("ROAM_CACHE", str(tmp_path))
    text = (EXAMPLES / f"{library}_script.py").read_text()
    twin, changed = plain(text)
    assert 2 <= changed <= 5
    assert "roam" not in twin.partition('"""\n\n')[2].lower()
    losses = []
    for source in (text, twin):
        script = {"__name__": "script"}
        exec(compile(source, f"{library}_script.py", "exec"), script)
        losses.append(script["main"]())
    assert losses[0] == losses[1]
