"""Instances as CSV: what is read, what is refused and where, and what is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from roam_lab.errors import FormatError
from roam_lab.ir import Layout, Lifetime
from roam_lab.ir.layout_csv import LARGEST, load_instance, save_instance


def loaded(tmp_path: Path, text: str) -> tuple[tuple[str, ...], tuple[Lifetime, ...]]:
    path = tmp_path / "some.csv"
    path.write_text(text)
    found = load_instance(path)
    return found.ids, found.lifetimes


def test_columns_in_any_sequence_with_more_beside_and_blank_lines(tmp_path: Path) -> None:
    text = "size, upper ,note,id,lower\n16,5,x,a,2\n\n 8 ,9,,b,-3\n"
    assert loaded(tmp_path, text) == (("a", "b"), (Lifetime(0, 2, 5, 16), Lifetime(1, -3, 9, 8)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,0,1", r"some\.csv:2: 3 cells where the header has 4; the line is truncated"),
        ("a,0,1,2\na,0,1,2", r"some\.csv:3: id 'a' stands on line 2 already"),
        ("a,1,1,2", r"some\.csv:2: lower 1 is not below upper 1"),
        ("a,0,1,-1", r"some\.csv:2: size is -1; sizes are never negative"),
        ("a,0,x,1", r"some\.csv:2: upper is 'x', not an integer"),
        (f"a,0,1,{LARGEST}\nb,0,1,1", r"some\.csv:3: the sizes add up to more than 2\*\*62 bytes"),
        ('a,0,1,"2', r"some\.csv:2: not CSV"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        loaded(tmp_path, f"id,lower,upper,size\n{rows}\n")


def test_what_lies_just_within_is_read(tmp_path: Path) -> None:
    lives = loaded(tmp_path, f"id,lower,upper,size\na,0,1,{LARGEST}\nb,0,1,0\n")[1]
    assert [life.bytes for life in lives] == [LARGEST, 0]
    assert loaded(tmp_path, "id,lower,upper,size\n") == ((), ())


def test_a_header_that_is_not_one(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"some\.csv:1: the header has no upper and no size"):
        loaded(tmp_path, "id,lower\n")
    with pytest.raises(FormatError, match="the header has no id and no lower"):
        loaded(tmp_path, "")


def test_the_problem_has_ranks_for_times_and_nothing_without_bytes(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text("id,lower,upper,size\na,10,30,4\nb,15,17,0\nc,20,50,8\n")
    found = load_instance(path)
    assert found.problem == (Lifetime(0, 0, 2, 4), Lifetime(2, 1, 3, 8))
    assert found.peak_bytes == 12


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "placed.csv"
    lives = (Lifetime(0, 0, 2, 4), Lifetime(1, 1, 3, 0))
    save_instance(path, ["a", "b"], lives, Layout({0: 64}, 68))
    assert path.read_text() == "id,lower,upper,size,offset\na,0,2,4,64\nb,1,3,0,0\n"
    assert load_instance(path).lifetimes == lives


def test_an_instance_without_bytes_has_no_peak(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    path.write_text("id,lower,upper,size\n1,0,2,0\n")
    assert load_instance(path).peak_bytes == 0
