"""Whole runs of train.py with the method "fixer"."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_fixer import fixer_options, tiny_fixer, warped_window, write_warped_pairs
from tiny_training import logged, write_trained

from faithfusion.cli.train_video import main
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import FixerEditorConfig
from faithfusion.video.fixer.fixer_editor import FixerEditor
from faithfusion.video.fixer.fixer_file import load_fixer, open_fixer, save_fixer
from faithfusion.video.model.fixers.fixer import FixerConfig

LEARNING = {"optimizer__learning_rate": 1e-2, "optimizer__warmup_steps": 0, "optimizer__schedule": "constant"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fixer")
    write_warped_pairs(path / "pairs")
    return path


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    """An uninterrupted run of 12 steps."""
    torch.set_num_threads(1)
    options = {"run": folder / "whole", "num_steps": 12, "checkpoint__every_steps": 4, "checkpoint__keep_last": 3}
    main(fixer_options(folder, **options, **LEARNING, validation__every_steps=6))
    return folder / "whole"


def test_it_learns_and_exports_a_fixer_that_opens(whole: Path) -> None:
    losses = logged(whole)
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    opened = open_fixer(str(whole / "fixer.safetensors"))
    assert (
        opened.fixer.config == FixerConfig(channels=(8, 16), slide_px=4.0)
        and len(opened.profiles.on_renders.editor_sq_error) > 1
    )
    facts = load_fixer(whole / "fixer.safetensors")[2]
    assert facts["steps"] == 12 and facts["profile_measured_on"] == "held-out windows"
    assert facts["training"]["method"] == "fixer" and facts["training"]["data"]["train"] == "pairs"
    window = warped_window()
    clip = FixerEditor(opened.fixer, FixerEditorConfig(), opened.profiles.on_renders).edit(window)
    assert (clip.frames - window.truth).abs().mean() < (window.render - window.truth).abs().mean()


def test_validation_compares_render_and_result_and_shows_them(whole: Path) -> None:
    rows = [json.loads(line) for line in (whole / "validation.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [6, 12]
    assert rows[0]["render_psnr_db"] == rows[1]["render_psnr_db"] != rows[0]["result_psnr_db"]
    assert {"render_high_psnr_db", "result_high_psnr_db"} < rows[0].keys()
    assert (whole / "validation/step_00000006.mp4").stat().st_size > 0


def test_a_stopped_run_continues_bitwise(folder: Path, whole: Path) -> None:
    run = folder / "parts"
    shutil.copytree(whole, run)
    for name in ("step_00000012", "step_00000008"):
        shutil.rmtree(run / "checkpoints" / name)
    (run / "fixer.safetensors").unlink()
    options = {"run": run, "num_steps": 12, "checkpoint__every_steps": 4, "checkpoint__keep_last": 3}
    main(fixer_options(folder, **options, **LEARNING, validation__every_steps=6))
    assert logged(run) == logged(whole)
    one, other = (load_file(path / "fixer.safetensors") for path in (run, whole))
    assert one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_it_learns_from_clips_of_the_video_model_too(folder: Path) -> None:
    weights = write_trained(folder / "video.safetensors")
    run = folder / "after"
    main(fixer_options(folder, run=run, fixer__after=weights, num_steps=2))
    kinds = {path.name.split("_")[0]: len(list(path.glob("*.safetensors"))) for path in (run / "cache").iterdir()}
    assert kinds == {"frames": 2, "clips": 2}
    assert load_fixer(run / "fixer.safetensors")[2]["training"]["fixer"]["after"] == "video.safetensors"
    with pytest.raises(InputError, match=r"nothing\.safetensors"):
        main([*fixer_options(folder, run=folder / "none", fixer__after=folder / "nothing.safetensors"), "--dry-run"])
    assert not (folder / "none").exists()


def test_it_starts_from_a_file_of_the_same_architecture(folder: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    save_fixer(start, tiny_fixer(trained=True, slide_px=4.0), ErrorProfile(), {}, dtype="float32")
    options = {"num_steps": 1, "init_from": start, "optimizer__learning_rate": 1e-9}
    main(fixer_options(folder, run=tmp_path / "run", **options))
    expected = load_file(start)
    found = load_file(tmp_path / "run/checkpoints/step_00000001/weights.safetensors")
    assert all(torch.allclose(value, expected[name], atol=1e-6) for name, value in found.items())
    with pytest.raises(InputError, match="architecture of the configuration"):
        main(fixer_options(folder, run=tmp_path / "other", **options, fixer__model__channels="[8,24]"))


def test_precision_and_recomputation_change_losses_a_little_or_not(folder: Path, tmp_path: Path) -> None:
    slow = {**LEARNING, "optimizer__learning_rate": 1e-3}
    for name, kind in {"plain": {}, "saved": {"gradient_checkpointing": True}, "half": {"precision": "bf16"}}.items():
        main(fixer_options(folder, run=tmp_path / name, data__cache=tmp_path / "cache", **kind, **slow))
    assert logged(tmp_path / "saved") == pytest.approx(logged(tmp_path / "plain"), rel=1e-5)
    assert logged(tmp_path / "half") == pytest.approx(logged(tmp_path / "plain"), rel=0.02)
    assert logged(tmp_path / "half") != logged(tmp_path / "plain")


def test_a_codec_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="codec_from"):
        main(fixer_options(folder, codec_from="some.safetensors"))
