"""Files, the command line and plain values become a dataclass, and nothing else passes."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from faithfusion.config import from_plain, parse_config, part_of
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain


@dataclass(frozen=True)
class Inner:
    """A part."""

    rate: float = 0.5
    names: tuple[str, ...] = ("a",)


@dataclass(frozen=True)
class Outer:
    """A whole."""

    place: Path = field(metadata={"positional": True})
    count: int = 1
    on: bool = False
    kind: Literal["x", "y"] = "x"
    level: Literal[0, 3] = 0
    pair: tuple[int, float] = (1, 2.0)
    text: str | None = None
    inner: Inner = field(default_factory=lambda: Inner(names=("default",)))
    maybe: Inner | None = None
    parts: tuple[Inner, ...] = ()
    by_name: dict[str, Inner] = field(default_factory=dict)


def parse(*argv: str) -> Outer:
    return parse_config(Outer, ["here", *argv])


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (["--count", "-3"], "count", -3),
        (["--count=4"], "count", 4),
        (["--on"], "on", True),
        (["--on", "false"], "on", False),
        (["--on", "--count", "2"], "on", True),
        (["--kind=y"], "kind", "y"),
        (["--level", "3"], "level", 3),
        (["--pair", "2", "-1e-3"], "pair", (2, -1e-3)),
        (["--pair", "[2, 3]"], "pair", (2, 3.0)),
        (["--inner.names", "0"], "inner", Inner(names=("0",))),
        (["--text", "null"], "text", None),
        (["--text", "[a"], "text", "[a"),
        (["--text="], "text", ""),
        (["--inner.rate", "2"], "inner", Inner(2.0, ("default",))),
        (["--inner", "{rate: 1e-4}", "--inner.names", "b", "c"], "inner", Inner(1e-4, ("b", "c"))),
        (["--maybe.rate", "2"], "maybe", Inner(2.0)),
        (["--maybe.rate", "2", "--maybe", "null"], "maybe", None),
        (["--parts", "[{rate: 1}, {names: [z]}]"], "parts", (Inner(1.0), Inner(names=("z",)))),
        (["--by_name", "{one: {rate: 3}}"], "by_name", {"one": Inner(3.0)}),
    ],
)
def test_the_command_line_is_understood(argv: list[str], name: str, value: object) -> None:
    assert getattr(parse(*argv), name) == value
    assert parse(*argv).place == Path("here")


def test_files_and_options_later_ones_win(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("count: 2\ninner: {rate: 3, names: [f]}\n")
    (tmp_path / "two.yaml").write_text("inner: {rate: 4}\n")
    files = ["--config", str(tmp_path / "one.yaml"), "--config", str(tmp_path / "two.yaml")]
    found = parse("--count", "9", *files, "--inner.names", "g")
    assert found.count == 2 and found.inner == Inner(4.0, ("g",))
    assert from_plain(Outer, to_plain(found), "again") == found
    (tmp_path / "part.yaml").write_text("rate: 4\n")
    assert parse("--inner", str(tmp_path / "part.yaml")).inner == Inner(4.0, ("default",))
    assert parse("--maybe", str(tmp_path / "part.yaml")).maybe == Inner(4.0)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "whole.yaml").write_text("inner: ../part.yaml\nmaybe: ../part.yaml\ncount: 3\n")
    found = parse("--config", str(tmp_path / "below" / "whole.yaml"), "--inner.names", "h")
    assert found.inner == Inner(4.0, ("h",)) and found.maybe == Inner(4.0) and found.count == 3


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--count", "1.5"], "--count: 1.5; expected a whole number"),
        (["--count"], "--count: nothing; expected a value"),
        (["--on", "--count", "x"], "--count: x"),
        (["--kind", "z"], "--kind: z; expected one of \\['x', 'y'\\]"),
        (["--level", "4"], "--level: 4; expected one of \\[0, 3\\]"),
        (["--pair", "1", "2", "3"], "--pair: .*; expected a tuple with 2 elements"),
        (["--inner.rat", "2"], "--inner.rat: no such option; expected one of rate"),
        (["--inner", "{rat: 2}"], "--inner.rat: no such option"),
        (["--count.x", "2"], "--count.x: no such option"),
        (["--parts", "[{rate: a}]"], "--parts.rate: a; expected a number"),
        (["--by_name", "{one: {rat: 3}}"], "--by_name.rat: no such option"),
        (["there"], "there: a value without an option"),
        (["--config"], "--config: nothing; expected a value"),
        (["--maybe.rate", "x"], "--maybe.rate: x; expected a number"),
        (["--cou", "2"], "--cou: no such option; expected one of count"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: File does not exist"),
        (["--inner", "nowhere.yaml"], "--inner: nowhere.yaml; expected {...}, or a YAML file"),
        (["--text", "a", "b"], "b: a value without an option"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(argv: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse(*argv)
    assert "\n" not in str(caught.value)


def test_a_file_is_named_in_errors_and_numbers_are_no_texts(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("inner: {names: [0]}\n")
    with pytest.raises(InputError, match=r"a\.yaml: inner\.names: 0; expected a text \(in quotes\)"):
        parse("--config", str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner: none.yaml", r"here\.yaml: inner: none\.yaml; expected {...}, or a YAML file"),
        ("inner: here.yaml", r"here\.yaml: inner: here\.yaml; expected {...}, or a YAML file"),
        ("- 1", r"here\.yaml: Unexpected config: - 1"),
        ("a: [1", r"here\.yaml: Problems parsing config"),
        ("inner: {rat: 1}", r"inner\.rat: no such option"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "here.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        parse("--config", str(tmp_path / "here.yaml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["this.x", {"class_path": "this.x"}, {"class_path": "this.x", "init_args": {}}])
def test_no_value_makes_a_module_be_imported(value: object) -> None:
    for name in ("inner", "maybe"):
        with pytest.raises(InputError):
            from_plain(Outer, {"place": "here", name: value}, "header")
    assert "this" not in sys.modules


def test_what_has_no_default_must_be_given() -> None:
    with pytest.raises(InputError, match="--place: nothing; expected a value"):
        parse_config(Outer, [])


def test_a_part_of_a_configuration() -> None:
    @dataclass(frozen=True)
    class More(Inner):
        extra: int = 0

    assert part_of(More(0.7, ("q",), 5), Inner, rate=0.8) == Inner(0.8, ("q",))
