"""The generator's head: nothing before it is trained, then the stated mixture in every pixel, stored with the rest."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from reference.mixture import head_pixel
from tiny_fixer import moving_window, tiny_fixer, warped_window
from tiny_generator import tiny_generator
from torch import Tensor

from faithfusion.training.widen import CLIP_LOGIT, grow_head
from faithfusion.types import WarpedViews, Window
from faithfusion.utils.seed import make_generator
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import VideoEditorConfig
from faithfusion.video.editing.video_editor import VideoEditor
from faithfusion.video.model.config import HeadConfig
from faithfusion.video.model.fixers.fixer import fixer_inputs
from faithfusion.video.model.fixers.head import FRAMES_AT_ONCE, with_clip
from faithfusion.video.model.generator import Generator
from faithfusion.video.plan.plan import PlanRequest, make_plan
from faithfusion.video.plan.plan_models import ClipSize
from faithfusion.video.plan.plan_table import plan_lines
from faithfusion.video.weights.generator_file import load_generator, save_generator

HEAD = HeadConfig(num_views=2, channels=(8, 16))
NO_DETAIL = VideoEditorConfig(keep_detail=False, window_frames=5)


def headed(*, trained: bool = False, **changes: object) -> Generator:
    """A generator whose parts all do something, with a head on top, which does if `trained`."""
    generator = tiny_generator(trained=True, head=dataclasses.replace(HEAD, **changes))
    if trained:
        weight = generator.head.network.conv_out.weight
        with torch.no_grad():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=make_generator(0, "head")))
    return generator


def generated(generator: Generator, window: Window) -> Tensor:
    return VideoEditor(generator, NO_DETAIL, ErrorProfile()).generate(window)


def test_before_training_the_result_is_the_decoded_clip_bit_for_bit() -> None:
    plain, generator, window = tiny_generator(trained=True), headed(reach=1, channels=(8, 8, 16, 16)), moving_window()
    state = generator.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())
    assert torch.equal(generated(generator, window), generated(plain, window))
    bare = dataclasses.replace(window, warped=None)
    assert torch.equal(generated(generator, bare), generated(plain, bare))


@torch.no_grad()
@pytest.mark.parametrize("slide_px", [0.0, 4.0])
def test_a_head_starts_as_a_fixer(slide_px: float) -> None:
    """But for the little that it copies of the clip, here noise, and for what stands where a view is not trusted."""
    fixer, head = tiny_fixer(trained=True, slide_px=slide_px), headed(slide_px=slide_px).head.eval()
    grow_head(fixer, head)
    window, noise = warped_window(), torch.rand(5, 32, 48, 3, generator=make_generator(0, "clip"))
    colors, trust = window.warped.colors, torch.full_like(window.warped.trust, 0.7)
    window = dataclasses.replace(window, warped=WarpedViews(colors, trust), known=torch.zeros(5, dtype=torch.bool))
    expected = fixer(fixer_inputs(window))
    found = head(fixer_inputs(with_clip(window, noise)))
    share = math.exp(CLIP_LOGIT)
    assert 0.0 < (found - expected).abs().max() <= share / (1.0 + share) * 1.001
    head.network.conv_out.bias[: head.config.unshuffle**2] -= 100.0
    torch.testing.assert_close(head(fixer_inputs(with_clip(window, noise))), expected, atol=5e-5, rtol=1e-3)


@torch.no_grad()
def test_it_mixes_as_the_twin_says() -> None:
    generator, window = headed(trained=True), warped_window()
    clip = VideoEditor(generator, NO_DETAIL, ErrorProfile()).decoded(window)
    outputs = []
    generator.head.network.register_forward_hook(lambda *call: outputs.append(call[-1].sample))
    result = generator.head.finish(window, clip)
    output = torch.nn.functional.pixel_shuffle(outputs[0], 2)  # 4 logits, residual, gate
    assert len(outputs) == 1 and output.shape == (5, 8, 32, 48) and len(clip) < FRAMES_AT_ONCE
    assert output[:, 7].abs().min() < 0.1 < 0.5 < output[:, 7].abs().max()
    for t, y, x in ((0, 3, 5), (2, 20, 30), (4, 31, 47)):
        sources = [clip[t, y, x], window.render[t, y, x], *window.warped.colors[:, t, y, x]]
        trust = [1.0, 1.0, *window.warped.trust[:, t, y, x].tolist()]
        at = output[t, :, y, x].tolist()
        wanted = head_pixel([source.tolist() for source in sources], trust, at[:4], at[7], at[4:7])
        torch.testing.assert_close(result[t, y, x], torch.tensor(wanted).clamp(0.0, 1.0), atol=1e-5, rtol=1e-5)


def test_the_editor_shows_it_the_error_of_the_render_and_nothing_of_known_frames() -> None:
    generator, window = headed(trained=True), warped_window(frames=9, height=30, width=44)
    window = dataclasses.replace(window, known=torch.arange(9) == 0)
    clip = VideoEditor(generator, NO_DETAIL, ErrorProfile()).edit(window)
    plain = VideoEditor(tiny_generator(trained=True), NO_DETAIL, ErrorProfile()).edit(window)
    assert clip.frames.shape == window.render.shape and (clip.edit - plain.edit).abs().mean() > 0.01
    assert torch.equal(clip.frames[0], window.render[0])
    inputs = fixer_inputs(with_clip(window, clip.edit))
    assert inputs.expected_sq_error[0].max() == 0.0
    assert torch.equal(inputs.expected_sq_error[1:], window.eig.expected_sq_error[1:])


@torch.no_grad()
def test_a_file_keeps_the_head(tmp_path: Path) -> None:
    generator, window = headed(trained=True), warped_window()
    save_generator(tmp_path / "headed.safetensors", generator, ErrorProfile(), {}, dtype="float32")
    loaded = load_generator(tmp_path / "headed.safetensors")[0]
    assert loaded.config.head == HEAD and not any(parameter.requires_grad for parameter in loaded.parameters())
    assert torch.equal(generated(loaded, window), generated(generator, window))


def test_its_weights_and_its_working_memory_are_planned() -> None:
    generator, size = headed(), ClipSize(9, 64, 96)
    plan = make_plan(PlanRequest(generator.config, size, active=(), parts=("codec",)))
    bare = make_plan(PlanRequest(tiny_generator().config, size, active=(), parts=("codec",)))
    count = sum(parameter.numel() for parameter in generator.head.parameters())
    assert plan.parameters["head"] == count and bare.parameters["head"] == 0 and bare.codec.head is None
    assert plan.resident["none"].codec - bare.resident["none"].codec == 4 * count
    feature_map = 4 * FRAMES_AT_ONCE * HEAD.channels[0] * 32 * 48
    assert 3 * feature_map < plan.codec.head.peak_bytes < 60 * feature_map
    lines = "\n".join(plan_lines(plan, "tiny"))
    assert "peak, head" in lines and "peak, head" not in "\n".join(plan_lines(bare, "tiny"))
