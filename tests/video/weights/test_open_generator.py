from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from jaxtyping import Float
from tiny_generator import tiny_window
from tiny_public_weights import public_config, write_public_weights
from torch import Tensor

from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import DEFAULT_COMPOSITE, SamplerConfig
from faithfusion.video.editors.wan import WanOptions
from faithfusion.video.weights.generator_file import save_generator
from faithfusion.video.weights.open_generator import open_generator


def wan_clip(window: Window, **options: object) -> Float[Tensor, "t h w 3"]:
    return WanOptions(**options).open("cpu").editor(DEFAULT_COMPOSITE).edit(window).frames


@pytest.fixture
def public(tmp_path: Path) -> Path:
    write_public_weights(tmp_path)
    path = tmp_path / "public.yaml"
    path.write_text(yaml.safe_dump(to_plain(public_config(tmp_path))))
    return path


def test_the_shipped_generator_opens_by_name() -> None:
    opened = open_generator("wan-tiny")
    assert len(opened.profiles.on_renders.editor_sq_error) > 1 and len(opened.identity) == 64
    config = opened.generator.config
    assert config.schedule.path == "bridge" and config.branch.init == "dit"
    assert config.branch.warped == 2 and config.branch.mix_views
    head = sum(parameter.numel() for parameter in opened.generator.head.parameters())
    whole = sum(parameter.numel() for parameter in opened.generator.parameters())
    assert head < 2.5e6 and whole - head < 12.5e6  # 5 and 25 MB in bf16, in two files


def test_public_weights_edit_a_clip_without_training(public: Path) -> None:
    sampler = SamplerConfig(path="hold", steps=3)
    opened = WanOptions(weights=str(public), sampler=sampler, window_frames=5).open("cpu")
    assert opened.opened.profiles.on_renders == ErrorProfile()
    window = tiny_window(frames=9, height=30, width=44)
    edited = opened.editor(DEFAULT_COMPOSITE).edit(window)
    assert edited.frames.shape == window.render.shape and edited.frames.isfinite().all()
    assert (edited.frames - window.render).abs().max() > 0.05
    certain = edited.gain == 0
    assert certain.any() and torch.equal(edited.frames[certain], window.render[certain])


def test_few_step_weights_bring_their_sampler(public: Path, tmp_path: Path) -> None:
    opened = open_generator("wan-tiny")
    path = tmp_path / "distilled.safetensors"
    save_generator(path, opened.generator, opened.profiles.on_renders, {"sampler": {"steps": 4, "renoise": True}})
    for options, sampler in (
        (WanOptions(weights=str(path)), SamplerConfig(steps=4, renoise=True)),
        (WanOptions(weights=str(path), sampler=SamplerConfig(steps=7)), SamplerConfig(steps=7)),
    ):
        assert options.open("cpu").editor(DEFAULT_COMPOSITE).config.sampler == sampler


def test_a_description_without_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("prompt_tokens: 8\n")
    with pytest.raises(InputError, match=r"pretrained\.model"):
        open_generator(str(path))
    path.write_text("prompt_tokenz: 8\n")
    with pytest.raises(InputError, match="prompt_tokenz"):
        open_generator(str(path))
