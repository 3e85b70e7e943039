"""What the doctor sees, and what it says when something is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roam_lab.app import doctor
from roam_lab.cli import main


def test_every_finding_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(doctor.findings())
    assert any("torch" in line for line in lines)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["well"] is not any(one["advice"] for one in data["findings"])
    assert {"roam-lab", "python", "lab extension"} <= {one["what"] for one in data["findings"]}


def test_what_is_missing_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda package: package != "bokeh")
    monkeypatch.setattr(doctor, "FRONT_ENDS", (Path("nowhere"),))
    text = doctor.doctor_text()
    assert "! bokeh          missing: pip install 'roam-lab[lab]'" in text
    assert "! lab extension  missing: this copy was built without node: install node 20" in text
    assert not doctor.doctor_data()["well"]


def test_a_built_front_end_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    monkeypatch.setattr(doctor, "FRONT_ENDS", (Path("nowhere"), tmp_path / "package.json"))
    assert doctor._front_end().advice == ""
