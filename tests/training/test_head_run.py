"""Whole runs of train.py with the method "head": the head of a finished generator."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_fixer import tiny_fixer, warped_window, write_warped_pairs
from tiny_training import REPOSITORY, debug_options, logged, write_trained

from faithfusion.cli.export_weights import main as export_main
from faithfusion.cli.train_video import main
from faithfusion.config import parse_config
from faithfusion.training.config import TrainConfig
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import DEFAULT_COMPOSITE, SamplerConfig
from faithfusion.video.editing.video_editor import VideoEditor
from faithfusion.video.editors.registry import open_editors
from faithfusion.video.fixer.fixer_file import save_fixer
from faithfusion.video.model.config import HeadConfig
from faithfusion.video.model.fixers.fixer import fixer_inputs
from faithfusion.video.model.fixers.head import with_clip
from faithfusion.video.weights.generator_file import load_generator, stored_sampler
from faithfusion.video.weights.stored import rewrite_header

STEPS = 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("head")
    write_warped_pairs(path / "pairs")
    sampler = {"steps": 1, "temperature": 0.0}
    rewrite_header(write_trained(path / "finished.safetensors"), {"metadata": {"sampler": sampler}})
    return path


def head_options(folder: Path, **options: object) -> list[str]:
    """Options of a run on a generator whose codec blurs."""
    values = {"method": "head", "init_from": folder / "finished.safetensors", "codec_from": ""}
    values |= {"generator__head": "{num_views: 2, channels: [8, 16]}", "data__held_out_shards": 1}
    values |= {"fixer__crop_height": 16, "fixer__crop_width": 32, "validation__every_steps": 0}
    values |= {"optimizer__learning_rate": 1e-2, "optimizer__warmup_steps": 0, "checkpoint__every_steps": 1000}
    return debug_options(folder, **values | options)


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    torch.set_num_threads(1)
    main(head_options(folder, num_steps=STEPS, ema__decay=0.9))
    return folder / "run"


def sharpness(frames: torch.Tensor) -> torch.Tensor:
    return frames.diff(dim=2).abs().mean()


@torch.no_grad()
def test_it_learns_to_copy_a_warped_view_where_the_codec_blurs(trained: Path) -> None:
    losses = logged(trained)
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    opened = open_editors([{"kind": "wan", "weights": str(trained / "generator.safetensors"), "steady": 0}], "cpu")
    (editor,) = opened.each(DEFAULT_COMPOSITE)
    assert isinstance(editor, VideoEditor)
    window = warped_window(seed=3)  # held out
    decoded, result = editor.decoded(window), editor.generate(window)
    assert (result - window.truth).abs().mean() < 0.5 * (decoded - window.truth).abs().mean()
    assert sharpness(decoded) < 0.5 * sharpness(window.truth)
    assert sharpness(result) == pytest.approx(float(sharpness(window.truth)), rel=0.25)


def test_the_generator_below_stays_as_it_was_and_the_error_is_of_finished_frames(folder: Path, trained: Path) -> None:
    before, after = (load_file(path) for path in (folder / "finished.safetensors", trained / "generator.safetensors"))
    assert {name.split(".")[0] for name in after.keys() - before.keys()} == {"head"}
    for name, value in before.items():
        assert torch.equal(after[name], value if value.ndim < 2 else value.bfloat16()), name
    _, profile, metadata = load_generator(trained / "generator.safetensors")
    assert stored_sampler(metadata, SamplerConfig()) == SamplerConfig(steps=1, temperature=0.0), "that of its file"
    main(head_options(folder, run=folder / "short", num_steps=1, optimizer__learning_rate=1e-9))
    blurred = load_generator(folder / "short/generator.safetensors")[1]
    assert max(profile.editor_sq_error) < 0.3 * max(blurred.editor_sq_error)
    again = folder / "again.safetensors"
    measure = ["--run", str(trained / "generator.safetensors"), "--pairs", str(folder / "pairs"), "--out", str(again)]
    export_main([*measure, "--device", "cpu"])
    assert max(load_generator(again)[1].editor_sq_error) == pytest.approx(max(profile.editor_sq_error), rel=0.3)


@torch.no_grad()
def test_a_head_may_have_a_file_of_its_own(folder: Path, trained: Path, tmp_path: Path) -> None:
    below = Path(shutil.copy(folder / "finished.safetensors", tmp_path))
    alone = tmp_path / "head.safetensors"
    export_main(["--run", str(trained), "--out", str(alone), "--below", str(below), "--device", "cpu"])
    assert alone.stat().st_size < 0.5 * below.stat().st_size
    editors = [
        open_editors([{"kind": "wan", "weights": str(path), "steady": 0}], "cpu").each(DEFAULT_COMPOSITE)[0]
        for path in (alone, trained / "generator.safetensors")
    ]
    window = warped_window(seed=3)
    ours, whole = (editor.generate(window) for editor in editors)
    torch.testing.assert_close(ours, whole, atol=0.02, rtol=0.0)  # the whole file has the generator in bfloat16
    measure = ["--run", str(alone), "--pairs", str(folder / "pairs"), "--device", "cpu"]
    export_main(measure)
    assert load_generator(alone)[0].config.head is not None
    rewrite_header(below, {"metadata": {}})  # a header may change, weights may not
    load_generator(alone)
    write_trained(below, seed=5)
    with pytest.raises(InputError, match=r"finished.safetensors: other weights; expected those on whose clips"):
        load_generator(alone)
    below.unlink()
    with pytest.raises(InputError, match=r"finished.safetensors: no such file"):
        load_generator(alone)
    with pytest.raises(InputError, match="a file in the folder of"):
        export_main(["--run", str(trained), "--out", str(alone), "--below", str(folder / "finished.safetensors")])


def test_a_head_goes_on_from_its_file_and_other_methods_leave_it(folder: Path, trained: Path) -> None:
    start = trained / "generator.safetensors"
    main(head_options(folder, run=folder / "more", init_from=start, num_steps=1, optimizer__learning_rate=1e-9))
    weights = load_file(folder / "more/checkpoints/step_00000001/weights.safetensors")
    stored = load_file(start)
    assert {name.split(".")[0] for name in weights} == {"head"}
    assert all(torch.allclose(value, stored[name].float(), atol=1e-6) for name, value in weights.items())
    with pytest.raises(InputError, match="head HeadConfig"):
        main(head_options(folder, init_from=start, generator__head="{num_views: 3, channels: [8, 16]}"))
    main(debug_options(folder, run=folder / "flow", init_from=start, codec_from="", num_steps=1))
    assert load_generator(folder / "flow/generator.safetensors")[0].head is None


def test_a_head_starts_from_the_file_of_a_fixer(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "fixer.safetensors"
    save_fixer(path, tiny_fixer(trained=True), ErrorProfile(), {})
    few = {"num_steps": 1, "optimizer__learning_rate": 1e-9, "run": tmp_path / "run", "head_from": path}
    main(head_options(folder, **few))
    head = load_generator(tmp_path / "run/generator.safetensors")[0].head
    window = warped_window(seed=3)
    with torch.no_grad():
        found = head(fixer_inputs(with_clip(window, window.render)))
        expected = tiny_fixer(trained=True)(fixer_inputs(window))
    assert (found - expected).abs().mean() < 0.03
    with pytest.raises(InputError, match=r"fixer\.safetensors: fixer FixerConfig\(num_views=2"):
        main(head_options(folder, generator__head="{num_views: 3, channels: [8, 16]}", head_from=path))


def test_the_configuration_of_full_size_takes_a_head() -> None:
    for name in ("branch_1.3b", "vace_1.3b", "wan_tiny"):
        options = ["--config", str(REPOSITORY / f"configs/train_video/{name}.yaml"), "--method", "head"]
        options += ["--init_from", "trained.safetensors", "--codec_from", "", "--generator.head.num_views", "3"]
        config = parse_config(TrainConfig, options)
        assert config.generator.head == HeadConfig(num_views=3) and config.generator.wan.num_layers >= 4


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("generator.head: none", {"generator__head": "null"}),
        ("generator.head: HeadConfig", {"method": "flow"}),
        ("init_from: empty", {"init_from": ""}),
        ("head_from: f.safetensors", {"method": "flow", "generator__head": "null", "head_from": "f.safetensors"}),
        ("fixer.crop_frames: 1 with", {"generator__head": "{reach: 1}"}),
    ],
)
def test_what_makes_no_sense_is_refused(folder: Path, message: str, options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=message):
        main(head_options(folder, **options))
