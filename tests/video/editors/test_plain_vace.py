"""Plain VACE inpainting through diffusers' and DiffSynth's own pipelines, with tiny random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_wan_weights as tiny
import torch
from tiny_generator import tiny_window
from torch import Tensor

from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor import ClipFacts
from faithfusion.video.editing.editor_config import CompositeConfig
from faithfusion.video.editing.plain_vace import (
    Pictures,
    PlainVaceEditor,
    Sampling,
    clip_of,
    paint_with_diffsynth,
    unseen_pixels,
)
from faithfusion.video.editors.registry import open_editors, options_of

SAMPLING = Sampling("a car drives on a street", "", 2, 2.0)


@pytest.fixture(scope="module")
def diffusers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model in diffusers' layout, written by its own pipeline."""
    from diffusers import FlowMatchEulerDiscreteScheduler, WanVACEPipeline
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("vace")
    tiny.save_tokenizer(folder / "words")
    parts = {"vae": tiny.upstream("vae"), "text_encoder": tiny.upstream("umt5"), "transformer": tiny.upstream("vace")}
    tokenizer = AutoTokenizer.from_pretrained(folder / "words")
    pipeline = WanVACEPipeline(tokenizer=tokenizer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), **parts)
    pipeline.save_pretrained(folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def diffsynth_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """DiffSynth's pipeline around its own tiny parts, as its `from_pretrained` puts them together. Its codec has 16
    channels whatever its weights."""
    pytest.importorskip("diffsynth")
    from diffsynth.models.wan_video_dit import WanModel
    from diffsynth.models.wan_video_text_encoder import HuggingfaceTokenizer
    from diffsynth.models.wan_video_vace import VaceWanModel
    from diffsynth.models.wan_video_vae import WanVideoVAE
    from diffsynth.pipelines.wan_video import WanVideoPipeline

    folder = tmp_path_factory.mktemp("words")
    tiny.save_tokenizer(folder)
    sizes = {"dim": tiny.DIM, "ffn_dim": tiny.FFN, "num_heads": tiny.HEADS, "eps": 1e-6}
    shape = {"in_dim": 16, "out_dim": 16, "text_dim": tiny.TEXT, "freq_dim": tiny.FREQ, "num_layers": tiny.LAYERS}
    dit = WanModel(**sizes, **shape, patch_size=(1, 2, 2), has_image_input=False)
    vace = VaceWanModel(**sizes, vace_layers=tiny.VACE_LAYERS, vace_in_dim=2 * 16 + 64)
    with torch.device("meta"):
        vae = WanVideoVAE()
    vae.model, vae.scale = tiny.diffsynth_vae(z_dim=16), [torch.zeros(16), torch.ones(16)]
    pipeline = WanVideoPipeline(device="cpu", torch_dtype=torch.float32)
    pipeline.dit, pipeline.vace, pipeline.vae = tiny.scrambled(dit, 1), tiny.scrambled(vace, 2), vae
    pipeline.text_encoder = tiny.diffsynth_umt5()
    pipeline.tokenizer = HuggingfaceTokenizer(str(folder), seq_len=512, clean="whitespace")
    return pipeline


def check_edit(edit: Callable[[int], Any], window: Window) -> None:
    """Painted where nothing was seen, the render's own values elsewhere, the same each time, another with each seed."""
    edited, mask = edit(0), unseen_pixels(window)
    assert 0.2 < mask.float().mean() < 0.8
    assert torch.equal(edited.frames[~mask], window.render[~mask]) and torch.equal(edited.gain, mask.float())
    painted = edited.frames[mask]
    assert torch.isfinite(painted).all() and painted.min() >= 0.0 and painted.max() <= 1.0
    assert (painted - window.render[mask]).abs().mean() > 0.05
    assert torch.equal(edit(0).frames, edited.frames)
    assert not torch.equal(edit(1).frames, edited.frames)


def test_diffusers_paints_what_no_view_has_seen(diffusers_folder: Path) -> None:
    entry = {"kind": "vace_diffusers", "weights": str(diffusers_folder), "steps": 2, "window_frames": 5}
    opened = open_editors([entry], "cpu")
    opened.check(ClipFacts(5, 1))
    window = tiny_window(5, 30, 48, warped=1)
    check_edit(lambda seed: opened.editor(CompositeConfig(faithful_share=0.0), seed).edit(window), window)
    other = open_editors([entry | {"steps": 3}], "cpu")
    assert other.identity != opened.identity == open_editors([entry], "cpu").identity
    with pytest.raises(InputError, match="no recorded view shows"):
        opened.check(ClipFacts(5, 0))


def test_diffsynth_paints_what_no_view_has_seen(diffsynth_pipeline: Any) -> None:
    paint, window = paint_with_diffsynth(diffsynth_pipeline, SAMPLING), tiny_window(5, 32, 48, warped=1)
    check_edit(lambda seed: PlainVaceEditor(paint, 5, 1, seed).edit(window), window)


def test_windows_share_frames_and_only_what_is_missing_is_grey() -> None:
    window, given = tiny_window(9, 32, 48, warped=1), []

    def paint_black(pictures: Pictures, masks: Pictures, seed: int) -> Tensor:
        given.append((clip_of(pictures), clip_of(masks)[..., 0] > 0.5, seed))
        return torch.zeros_like(given[-1][0])

    edited, mask = PlainVaceEditor(paint_black, 5, 1).edit(window), unseen_pixels(window)
    (first, first_mask, seed), (second, second_mask, second_seed) = given
    assert torch.equal(first_mask, mask[:5]) and not second_mask[0].any() and torch.equal(second_mask[1:], mask[5:])
    assert (first[first_mask] == 128 / 255).all() and (
        first[~first_mask] - window.render[:5][~mask[:5]]
    ).abs().max() < 0.003
    assert (second[0] - edited.frames[4]).abs().max() < 0.003 and seed != second_seed
    assert edited.frames[mask].max() == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "vace_diffusers"}, "the folder of the public weights"),
        ({"kind": "vace_diffusers", "weights": "nowhere"}, "nowhere"),
        ({"kind": "vace_diffsynth", "weights": "nowhere"}, "nowhere"),
        ({"kind": "vace_diffusers", "steps": 0}, "steps: 0"),
        ({"kind": "vace_diffsynth", "window_frames": 8}, "window_frames: 8"),
        ({"kind": "vace_diffsynth", "window_frames": 5, "overlap_frames": 5}, "fewer in the overlap"),
    ],
)
def test_bad_input_is_one_line(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        options_of(options).open("cpu")
    assert "\n" not in str(refusal.value)


def test_a_folder_of_something_else_is_refused(diffusers_folder: Path, tmp_path: Path) -> None:
    for part in ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"):
        (tmp_path / part).mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(InputError, match="public weights of Wan2.1-VACE"):
        options_of({"kind": "vace_diffusers", "weights": str(tmp_path)}).open("cpu")


def test_a_clip_without_recorded_views_is_refused() -> None:
    with pytest.raises(InputError, match="warp.num_views"):
        unseen_pixels(tiny_window())
