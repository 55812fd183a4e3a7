from __future__ import annotations

from pathlib import Path

import pytest
import tiny_wan_weights as tiny
from tiny_wan_weights import UNSAID, named, same

from faithfusion.video.weights.save_layouts import save_layout


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A VACE model with VAE in diffusers' layout."""
    save_layout(named("vace"), "diffusers", tmp_path / "model", UNSAID)
    save_layout(named("vae"), "diffusers", tmp_path / "model", UNSAID)
    return tmp_path / "model"


def test_upstream_loaders_read_what_we_write(saved: Path) -> None:
    from diffusers import AutoencoderKLWan, WanTransformer3DModel, WanVACETransformer3DModel
    from transformers import UMT5EncoderModel

    both, report = WanVACETransformer3DModel.from_pretrained(saved, subfolder="transformer", output_loading_info=True)
    assert not any(report.values()) and same(dict(both.state_dict()), named("vace"))
    assert tuple(both.config.vace_layers) == tiny.VACE_LAYERS and both.config.num_attention_heads == tiny.HEADS
    vae, report = AutoencoderKLWan.from_pretrained(saved, subfolder="vae", output_loading_info=True)
    assert not any(report.values()) and same(dict(vae.state_dict()), named("vae"))
    assert vae.config.latents_mean == tiny.MEAN
    save_layout(named("dit"), "diffusers", saved / "t2v", UNSAID, "60KB")
    dit, report = WanTransformer3DModel.from_pretrained(saved / "t2v/transformer", output_loading_info=True)
    assert not any(report.values()) and same(dict(dit.state_dict()), named("dit"))
    save_layout(named("umt5"), "diffusers", saved)
    text, report = UMT5EncoderModel.from_pretrained(saved, subfolder="text_encoder", output_loading_info=True)
    assert not any(report.values())
    assert same({name: text.state_dict()[name] for name in named("umt5")}, named("umt5"))


def test_diffsynth_reads_what_we_write(tmp_path: Path) -> None:
    from diffsynth.core import load_state_dict

    save_layout(named("vae"), "official", tmp_path / "official", UNSAID)
    assert same(load_state_dict(str(tmp_path / "official/Wan2.1_VAE.pth")), tiny.official("vae"))
    files = save_layout(named("vace"), "official", tmp_path / "vace", UNSAID, "60KB")
    assert same(load_state_dict([str(path) for path in files]), tiny.official("vace"))
    tiny.diffsynth_dit().load_state_dict(
        {name: value for name, value in tiny.official("vace").items() if not name.startswith("vace")}
    )
