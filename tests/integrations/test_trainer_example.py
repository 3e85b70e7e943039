"""The example trains, and without the lines that are marked it is a plain script which trains to the same bits."""

import importlib.util
from pathlib import Path

import torch

from tests.integrations.trainers import bits

EXAMPLE = Path(__file__).parents[2] / "examples" / "trainer.py"


def script(text, folder):
    """The module that a text is."""
    path = folder / "script.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_at_most_five_lines_are_new(tmp_path):
    text = EXAMPLE.read_text()
    marked = [line for line in text.splitlines() if line.endswith("# planned")]
    assert len(marked) <= 5
    plain = text
    for line in marked:
        plain = plain.replace(line, line.replace("PlannedTrainer(", "Trainer(") if "trainer = " in line else "")
    plain = plain[: plain.index('if __name__ == "__main__"')]
    assert "roam" not in plain.lower()
    (tmp_path / "plain").mkdir()
    eager = script(plain, tmp_path / "plain").main(str(tmp_path / "eager"), steps=6)
    planned = script(text, tmp_path).main(str(tmp_path / "planned"), steps=6)
    assert bits(eager.state.log_history) == bits(planned.state.log_history)
    assert all(map(torch.equal, eager.model.parameters(), planned.model.parameters()))
    assert planned.roam_step.planned_steps == 5
