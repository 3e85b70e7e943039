"""With ROAM_SITUATIONS=FILE, what became of each situation is written there: outcome, test, refusal or first difference."""

import os

import pytest

from tests.situations.judge import TOLD


@pytest.fixture(autouse=True)
def outcomes(request):
    del TOLD[:]
    yield
    path = os.environ.get("ROAM_SITUATIONS")
    if path and not request.node.name.startswith("test_judge"):
        with open(path, "a") as file:
            for told in TOLD:
                why = told.sentence or "; ".join(told.reasons) or "".join(told.told[-1:] if told.outcome == "traceback" else told.told[:1])
                place = request.node.nodeid.removeprefix("tests/situations/")
                file.write(f"{told.outcome}\t{place}\t{why}\n")
