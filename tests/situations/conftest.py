"""With ROAM_SITUATIONS=FILE, a line a situation goes there: outcome, test, refusal or first difference."""

import os

import pytest

from tests.situations.judge import TOLD


@pytest.fixture(autouse=True)
def outcomes(request):
    del TOLD[:]
    yield
    path = os.environ.get("ROAM_SITUATIONS")
    if path and "test_judge" not in request.node.nodeid:
        with open(path, "a") as file:
            for told in TOLD:
                lines = told.told[-1:] if told.outcome == "traceback" else told.told[:1]
                why = told.why or "".join(lines)
                file.write(f"{told.outcome}\t{request.node.nodeid.split('/')[-1]}\t{why}\n")
