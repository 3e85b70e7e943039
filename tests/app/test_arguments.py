"""Options as they are typed: a wrong value is named, whatever it begins with, for every option of both faces."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from roam_lab.app.argument_types import names
from roam_lab.app.arguments import Face, parser_of
from roam_lab.app.sweep_arguments import calls
from roam_lab.errors import InputError


def options() -> Iterator[tuple[Face, str, str]]:
    """(face, action, option) of every option that takes a value with a type; not of those that take any text as a
    name, as what looks the name up says which there are."""
    faces: tuple[Face, ...] = ("command", "magic")
    for face in faces:
        for name, parser in parser_of(face)[1].items():
            for action in parser._actions:
                if action.option_strings and action.nargs is None and action.type not in (None, names, calls):
                    yield face, name, action.option_strings[-1]


NEGATIVE = ("-1GiB", "-.5x", "-1e3,", "-inf", "-nan")


@pytest.mark.parametrize(("face", "name", "option"), list(options()))
@pytest.mark.parametrize("value", NEGATIVE)
def test_a_negative_value_is_named(face: Face, name: str, option: str, value: str) -> None:
    with pytest.raises(InputError, match=f"argument (-o/)?{option}: (?!expected)") as caught:
        parser_of(face)[1][name].parse_args([option, value])
    assert value.rstrip(",") in str(caught.value) or "kind" in str(caught.value)


def test_there_are_options_to_try() -> None:
    found = list(options())
    assert {"--budget", "--alignment", "--memory", "--extra-time", "--seed", "--limit"} <= {one for *_, one in found}
    assert {face for face, *_ in found} == {"command", "magic"}


@pytest.mark.parametrize("value", ["1", "64", "512", "4096"])
def test_an_alignment_is_a_power_of_two(value: str) -> None:
    assert parser_of("magic")[1]["plan"].parse_args(["--alignment", value]).alignment == int(value)
    with pytest.raises(InputError, match=f"'{int(value) * 3}' is not a power of two; give such as 64 or 512"):
        parser_of("magic")[1]["plan"].parse_args(["--alignment", str(int(value) * 3)])


def test_an_option_is_still_an_option() -> None:
    with pytest.raises(InputError, match="argument --budget: expected one argument"):
        parser_of("magic")[1]["plan"].parse_args(["--budget", "--order", "list"])
    assert isinstance(parser_of("magic")[0], argparse.ArgumentParser)
