"""Training steps as strangers' repositories have them, by every way to hook them: see strangers.py."""

import pytest

from tests.situations.judge import GRADIENTS, HONEST, PLANNED, compare
from tests.situations.models import slow_unless
from tests.situations.strangers import ALL, connectionist, evaluated, schedule_free
from tests.situations.strangers_of_today import TODAY

EAGER = {
    "graph_attention", "schedule_free", "packed", "connectionist", "detection", "self_distilled", "contrastive",
    "mixed_up", "deep_q", "projected", "experts", "preference", "normalised_returns",
    "layerwise", "translation", "accumulated", "evolving", "unfrozen_one_by_one",
}  # fmt: skip
"""Those whose step, or a part of it, is run eagerly and says why."""
OFTEN = {"private", "projected", "uncertain", "centred", "evolving", "quantization_aware", "low_rank", "skip_gram"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [*ALL, *TODAY], ids=lambda make: make.__name__)
def test_stranger(make):
    slow_unless(make.__name__ in OFTEN)
    between = evaluated if make is schedule_free else None
    right = HONEST if make.__name__ in EAGER else PLANNED
    compare(make, 11, between=between, ignore=GRADIENTS).must_be(right)


def test_lengths_that_are_python_numbers():
    verdict = compare(connectionist, 4, ignore=GRADIENTS).must_be(HONEST)
    assert "ctc_loss is given lengths as Python numbers, which it takes past torch's ops" in verdict.why
