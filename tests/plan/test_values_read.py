"""Values of JSON files, one by one: right ones come back, wrong ones are named with file, key and what to do."""

import math

import pytest

from roam_lab.errors import FormatError
from roam_lab.plan.values_read import MOST, Values

DATA = {
    "size": 3, "none": 0, "below": -3, "most": MOST, "too much": MOST + 1, "part": 0.5, "text": "a", "empty": "",
    "flag": True, "nan": math.nan, "endless": math.inf, "null": None, "list": [{"x": 1}, 5],
    "byname": {"a": 1, "b": 2.5},
}  # fmt: skip
VALUES = Values(DATA, "fit.json", "fit", "roam fit")


def test_what_is_right_comes_back():
    assert [VALUES.size(key) for key in ("size", "none", "most")] == [3, 0, MOST]
    assert [VALUES.whole(key) for key in ("size", "none", "below", "most")] == [3, 0, -3, MOST]
    assert [VALUES.number(key) for key in ("size", "below", "part")] == [3.0, -3.0, 0.5]
    assert all(type(VALUES.number(key)) is float for key in ("size", "part"))
    assert (VALUES.text("text"), VALUES.text("empty")) == ("a", "")
    assert VALUES.numbers("byname") == {"a": 1.0, "b": 2.5}
    assert VALUES.numbers("nowhere") == {}
    assert [VALUES.missing(key) for key in ("null", "nowhere", "none", "empty")] == [True, True, False, False]
    assert Values({"low": -MOST}, "f", "fit", "roam fit").whole("low") == -MOST


@pytest.mark.parametrize(
    ("read", "keys"),
    [
        ("size", ("below", "too much", "part", "text", "flag", "null", "nowhere")),
        ("whole", ("too much", "part", "text", "flag", "null", "nowhere")),
        ("number", ("text", "flag", "nan", "endless", "null", "nowhere")),
        ("text", ("size", "null", "list", "nowhere")),
        ("objects", ("byname", "text", "nowhere")),
        ("numbers", ("list", "text", "null")),
    ],
)
def test_what_is_wrong_is_named(read, keys):
    for key in keys:
        found = "missing" if key == "nowhere" else ".* there"
        with pytest.raises(FormatError, match=f"^fit.json: {key} is {found}, which no fit has; make the file again"):
            getattr(VALUES, read)(key)


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(FormatError) as raised:
        Values({"x": "y" * 1000}, "f", "fit", "roam fit").size("x")
    assert str(raised.value) == f"f: x is '{'y' * 39} there, which no fit has; make the file again with roam fit"


def test_places_inside_are_named_and_what_is_no_object_counts_as_an_empty_one():
    first, second = VALUES.objects("list")
    assert (first.size("x"), first.where, second.data) == (1, "fit.json: list 0", {})
    with pytest.raises(FormatError, match=r"^fit.json: list 1: x is missing"):
        second.size("x")
    with pytest.raises(FormatError, match=r"^fit.json: byname: c is missing"):
        VALUES.inner(DATA["byname"], "byname").number("c")
    wrong = Values({"byname": {"a": "1"}}, "fit.json", "fit", "roam fit")
    with pytest.raises(FormatError, match=r"^fit.json: byname: a is '1' there"):
        wrong.numbers("byname")
