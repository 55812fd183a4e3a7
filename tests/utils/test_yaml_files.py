"""A YAML file may build on others; a circle, a missing file and what is no mapping are refused in one line."""

from pathlib import Path

import pytest

from faithfusion.utils.errors import InputError
from faithfusion.utils.yaml_files import read_yaml


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)


def test_own_values_win_over_the_base_and_later_bases_over_earlier_ones(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    write(tmp_path, first="a: 1\nb: {c: 2, d: [1, 2]}\n", second="base: first.yaml\nb: {d: [3]}\n")
    write(
        tmp_path / "below", third="base: [../first.yaml, ../second.yaml]\nb: {e: 5}\nf: {base: ../first.yaml, a: 6}\n"
    )
    assert read_yaml(tmp_path / "second.yaml") == {"a": 1, "b": {"c": 2, "d": [3]}}
    found = read_yaml(tmp_path / "below" / "third.yaml")
    assert found == {"a": 1, "b": {"c": 2, "d": [3], "e": 5}, "f": {"a": 6, "b": {"c": 2, "d": [1, 2]}}}


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, empty="# nothing\n")
    assert read_yaml(tmp_path / "empty.yaml") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: none.yaml", r"none\.yaml: no such file"),
        ("a: {base: here.yaml}", r"is built on itself: here\.yaml -> here\.yaml"),
        ("base: 3", r"here\.yaml: base: 3; expected the name of a YAML file"),
        ("- 1", r"here\.yaml: a list; expected a YAML mapping"),
        ("a: [1", r"here\.yaml: while parsing"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, here=text)
    with pytest.raises(InputError, match=message) as caught:
        read_yaml(tmp_path / "here.yaml")
    assert "\n" not in str(caught.value)


def test_a_circle_over_two_files_is_named(tmp_path: Path) -> None:
    write(tmp_path, one="base: two.yaml", two="b: {base: one.yaml}")
    with pytest.raises(InputError, match=r"one\.yaml -> two\.yaml -> one\.yaml"):
        read_yaml(tmp_path / "one.yaml")
