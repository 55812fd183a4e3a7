from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from tiny_generator import tiny_window
from tiny_public_weights import public_config, write_public_weights

from faithfusion.config import to_plain
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import EditorConfig, SamplerConfig
from faithfusion.video.model.memory_config import MemoryConfig
from faithfusion.video.weights.generator_file import save_generator
from faithfusion.video.weights.open_generator import editor_of, open_generator


@pytest.fixture
def public(tmp_path: Path) -> Path:
    write_public_weights(tmp_path)
    path = tmp_path / "public.yaml"
    path.write_text(yaml.safe_dump(to_plain(public_config(tmp_path))))
    return path


def test_the_shipped_generator_opens_by_name() -> None:
    opened = open_generator("wan-tiny")
    assert len(opened.profile.editor_sq_error) > 1 and len(opened.identity) == 64
    config = opened.generator.config
    assert config.schedule.path == "bridge" and config.branch.warped == 2 and config.branch.mix_views
    assert sum(parameter.numel() for parameter in opened.generator.parameters()) < 12.5e6  # 25 MB in bf16


def test_public_weights_edit_a_clip_without_training(public: Path) -> None:
    opened = open_generator(str(public))
    assert opened.profile == ErrorProfile()
    config = EditorConfig(sampler=SamplerConfig(path="hold", steps=3), window_frames=5, overlap_frames=1)
    window = tiny_window(frames=9, height=30, width=44)
    edited = editor_of(opened, config, "cpu").edit(window)
    assert edited.frames.shape == window.render.shape and edited.frames.isfinite().all()
    assert (edited.frames - window.render).abs().max() > 0.05
    certain = edited.gain == 0
    assert certain.any() and torch.equal(edited.frames[certain], window.render[certain])


def test_parts_in_host_memory_give_the_same_clip(public: Path) -> None:
    window, clips = tiny_window(), []
    for memory in (MemoryConfig(), MemoryConfig(offload="parts"), MemoryConfig(offload="blocks")):
        config = EditorConfig(sampler=SamplerConfig(path="hold", steps=2), window_frames=5, memory=memory)
        clips.append(editor_of(open_generator(str(public)), config, "cpu").edit(window).frames)
    assert torch.equal(clips[0], clips[1]) and torch.equal(clips[0], clips[2])


def test_few_step_weights_bring_their_sampler(public: Path, tmp_path: Path) -> None:
    opened = open_generator("wan-tiny")
    path = tmp_path / "distilled.safetensors"
    save_generator(path, opened.generator, opened.profile, {"sampler": {"steps": 4, "renoise": True}})
    opened = open_generator(str(path))
    assert editor_of(opened, EditorConfig(), "cpu").config.sampler == SamplerConfig(steps=4, renoise=True)
    own = EditorConfig(sampler=SamplerConfig(steps=7))
    assert editor_of(opened, own, "cpu").config.sampler.steps == 7


def test_a_trained_branch_finds_its_public_weights_where_they_lie_here(public: Path, tmp_path: Path) -> None:
    opened = open_generator(str(public))
    path = tmp_path / "branch.safetensors"
    save_generator(path, opened.generator, opened.profile, {})
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("transformer", "vae"):
        (tmp_path / name).rename(moved / name)
    with pytest.raises(InputError, match="transformer|no such|not found"):
        open_generator(str(path))
    window = tiny_window()
    clips = [
        editor_of(found, EditorConfig(window_frames=5), "cpu").edit(window).frames
        for found in (opened, open_generator(str(path), public=str(moved)))
    ]
    torch.testing.assert_close(clips[1], clips[0], atol=0.02, rtol=0)  # the file rounds to bfloat16


def test_a_description_without_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("prompt_tokens: 8\n")
    with pytest.raises(InputError, match=r"pretrained\.model"):
        open_generator(str(path))
    path.write_text("prompt_tokenz: 8\n")
    with pytest.raises(InputError, match="prompt_tokenz"):
        open_generator(str(path))
