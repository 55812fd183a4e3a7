"""The error profiles behind other editors: measured on what an editor really gets, kept in its file, and used."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_fixer import tiny_fixer, warped_window, write_warped_pairs
from torch import Tensor

from faithfusion.cli.measure_editors import main
from faithfusion.clips.store import ShardFolder, write_shard
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator
from faithfusion.video.editing.chain import edited_window
from faithfusion.video.editing.composite import ErrorProfile, MeasuredErrors, measure_profile, measured_errors
from faithfusion.video.editing.editor_config import DEFAULT_COMPOSITE
from faithfusion.video.editors.registry import OpenedEditors, open_editors
from faithfusion.video.fixer.fixer_editor import FixerEditor
from faithfusion.video.fixer.fixer_file import open_fixer, save_fixer
from faithfusion.video.weights.profiles import store_profile, weights_key

SURE = ErrorProfile((1e-6, 1.0), (1e-5,))
"""Of a fixer that errs much more."""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two fixers that believe to be nearly right."""
    paths = [tmp_path / "first.safetensors", tmp_path / "second.safetensors"]
    for seed, path in enumerate(paths):
        save_fixer(path, tiny_fixer(seed, trained=True), SURE, {"steps": 7})
    for number in range(2):
        write_shard(tmp_path / f"pairs/street_{number}.safetensors", [known_window(2 * number + i) for i in range(2)])
    return paths


def known_window(seed: int) -> Window:
    """A window whose expected error is the true one, but for its chance in every pixel."""
    window = warped_window(seed=seed)
    true = (window.render - window.truth).square().mean(-1)
    chance = torch.rand(true.shape, generator=make_generator(seed, "expected"))
    return dataclasses.replace(window, eig=dataclasses.replace(window.eig, expected_sq_error=true * (0.5 + chance)))


def entries(files: list[Path]) -> str:
    return "[" + ", ".join(f"{{kind: fixer, weights: {path}, steady: 0}}" for path in files) + "]"


def opened(files: list[Path]) -> OpenedEditors:
    return open_editors([{"kind": "fixer", "weights": str(path), "steady": 0} for path in files], "cpu")


def errors_of(editor: FixerEditor, seen: Window, truth: Tensor) -> MeasuredErrors:
    return measured_errors(seen.eig.expected_sq_error, seen.render, editor.generate(seen), truth)


@torch.no_grad()
def expected_over_true(files: list[Path], folder: Path) -> float:
    """Of the frames that the chain finishes."""
    editor, sums = opened(files).editor(DEFAULT_COMPOSITE), torch.zeros(2)
    for shard in ShardFolder(folder / "pairs").shards:
        for window in shard:
            edited = editor.edit(window)
            true = (edited.frames - window.truth).square().mean(-1)
            sums += torch.stack([edited.sq_error.sum(), true.sum()])
    return float(sums[0] / sums[1])


def test_the_chain_expects_the_error_that_it_leaves(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected_over_true(files, tmp_path) < 0.3
    assert "fixer: its error behind these editors was not measured" in capsys.readouterr().err
    before = [load_file(path) for path in files]
    (first,) = opened(files[:1]).each(DEFAULT_COMPOSITE)
    windows = [window for shard in ShardFolder(tmp_path / "pairs").shards for window in shard]
    store_profile(files[0], measure_profile([errors_of(first, window, window.truth) for window in windows]), [])
    main(["--pairs", str(tmp_path / "pairs"), "--editors", entries(files), "--device", "cpu"])
    assert expected_over_true(files, tmp_path) == pytest.approx(1.0, abs=0.1)
    for path, tensors in zip(files, before, strict=True):
        assert all(torch.equal(value, tensors[name]) for name, value in load_file(path).items())
    first, second = (open_fixer(str(path)) for path in files)
    assert first.profiles.behind == {} and list(second.profiles.behind) == [first.weights_key]
    assert second.profiles.on_renders == SURE
    capsys.readouterr()
    one, other = opened(files).each(DEFAULT_COMPOSITE)
    assert (one.profile, other.profile) == (first.profiles.on_renders, second.profiles.behind[first.weights_key])
    assert opened(files[1:]).each(DEFAULT_COMPOSITE)[0].profile == SURE
    assert not capsys.readouterr().err
    assert opened(files[::-1]).each(DEFAULT_COMPOSITE)[1].profile == first.profiles.on_renders
    assert "was not measured" in capsys.readouterr().err, "the other way round nobody measured"


def test_a_profile_in_the_header_changes_the_identity_and_not_the_weights(files: list[Path]) -> None:
    first, key, identity = files[0], weights_key(files[0]), open_fixer(str(files[0])).identity
    store_profile(first, SURE, ["a", "b"])
    again = open_fixer(str(first))
    assert weights_key(first) == key == again.weights_key and again.identity != identity
    assert again.profiles.behind == {"a+b": SURE} and weights_key(files[1]) != key


def test_the_profile_is_of_what_the_editor_gets(files: list[Path], tmp_path: Path) -> None:
    main(["--pairs", str(tmp_path / "pairs"), "--editors", entries(files), "--device", "cpu"])
    first, second = opened(files).each(DEFAULT_COMPOSITE)
    on_renders, on_frames = [], []
    for shard in ShardFolder(tmp_path / "pairs").shards:
        for window in shard:
            on_renders.append(errors_of(second, window, window.truth))
            on_frames.append(errors_of(second, edited_window(window, first.edit(window)), window.truth))
    assert second.profile == measure_profile(on_frames) != measure_profile(on_renders)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--editors", "[{kind: fixer}]"], "one editor, which is behind no other"),
        (["--num_windows", "0"], "num_windows: 0"),
        (["--editors", "[{kind: fixer}, {kind: own.py:Mine}]"], "own.py:Mine without a weights file"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_warped_pairs(tmp_path / "pairs", 1)
    source = (
        "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Mine:\n    def edit(self, window):\n"
    )
    (tmp_path / "own.py").write_text(source + "        return window\n")
    with pytest.raises(InputError, match=message) as refusal:
        main(["--pairs", str(tmp_path / "pairs"), "--device", "cpu", *options])
    assert "\n" not in str(refusal.value)
