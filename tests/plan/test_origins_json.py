"""Origins of ops in a plan's file: nothing is lost, and what is wrong is named."""

import pytest

from roam_lab.errors import FormatError
from roam_lab.ir import Origin
from roam_lab.plan.origins_json import add_origins, read_origins

ORIGINS = (
    (Origin((3,), (1, 2), (4,)), {"reads": [1, 2], "writes": []}),
    (Origin((3,), (1, 1), (4,), (5,)), {"reads": [1], "writes": [5]}),
    (Origin((3,), (1, None), (None, 4), (None,)), {"reads": [1], "writes": []}),
    (Origin((3, 4), (1, None), (None, 4), (5, None)), {"reads": [1], "writes": [5]}),
    (Origin((), copies=(1, 2)), {"reads": [1], "writes": []}),
)


@pytest.mark.parametrize(("origin", "op"), ORIGINS)
def test_an_origin_survives_its_file(origin, op):
    written = dict(op)
    add_origins([written], [origin])
    assert read_origins([written], "file") == (origin,)


def test_what_an_op_reads_and_writes_is_said_again_only_where_it_stands_for_something_else():
    written = [dict(op) for _, op in ORIGINS]
    add_origins(written, [origin for origin, _ in ORIGINS])
    assert written == [
        {"reads": [1, 2], "writes": [], "origin": 3, "results": [4]},
        {"reads": [1], "writes": [5], "origin": 3, "reads_as": [1, 1], "results": [4]},
        {"reads": [1], "writes": [], "origin": 3, "reads_as": [1, None], "writes_as": [None], "results": [None, 4]},
        {
            "reads": [1], "writes": [5], "origin": [3, 4], "reads_as": [1, None], "writes_as": [5, None],
            "results": [None, 4],
        },
        {"reads": [1], "writes": [], "copies": [1, 2]},
    ]  # fmt: skip
    fused = {"reads": [1], "writes": [5]}
    add_origins([fused], [Origin((3, 4), (1,), (2,), (5,))])  # of several ops always
    assert fused["reads_as"] == [1]
    assert fused["writes_as"] == [5]


@pytest.mark.parametrize(
    ("op", "wording"),
    [
        ({"reads": [], "writes": []}, "origin is neither an op nor a list of ops"),
        ({"origin": [], "reads": [], "writes": []}, "origin is neither an op nor a list of ops"),
        ({"origin": [1, "2"], "reads": [], "writes": []}, "origin is neither an op nor a list of ops"),
        ({"origin": 1, "reads": ["a"], "writes": []}, "reads is not a list of storages"),
        ({"origin": 1, "reads": [1.5], "writes": []}, "reads is not a list of storages"),
        ({"origin": 1, "reads": [], "writes_as": 3, "writes": []}, "writes_as is not a list of storages"),
        ({"copies": [1]}, "copies is not a pair of storages"),
        ({"copies": [1, None]}, "copies is not a pair of storages"),
    ],
)
def test_what_is_wrong_is_named(op, wording):
    with pytest.raises(FormatError, match=wording) as caught:
        read_origins([op], "file")
    assert str(caught.value).startswith("file: op 0: ")
