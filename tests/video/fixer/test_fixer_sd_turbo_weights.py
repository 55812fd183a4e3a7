from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_fixer import tiny_fixer, warped_window
from tiny_sd_turbo import LORA, tiny_sd_turbo, write_sd_turbo
from transformers import CLIPTextModel, CLIPTokenizer

from faithfusion.utils.errors import InputError
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.fixer.fixer_file import load_fixer, open_fixer, save_fixer
from faithfusion.video.fixer.sd_turbo_weights import encode_prompt, open_sd_turbo, scheduler_alpha_bar
from faithfusion.video.model.fixers.fixer import fixer_inputs
from faithfusion.video.model.fixers.fixer_config import SdTurboConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd_turbo(tmp_path_factory.mktemp("sd_turbo"))


def edited(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("changes", [{}, LORA])
@torch.no_grad()
def test_a_file_holds_what_was_trained_and_comes_back_on_the_public_weights(
    folder: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    fixer, path = tiny_sd_turbo(folder, trained=True, prompt="a street", **changes), tmp_path / "fixer.safetensors"
    save_fixer(path, fixer, ErrorProfile(), {"steps": 3}, dtype="float32")
    names = load_file(path).keys()
    assert "prompt" in names and "network.conv_in.added.weight" in names
    assert not any(name.startswith("vae.") for name in names)
    assert any(name == "network.conv_out.weight" for name in names) == (not changes)
    public = shutil.copytree(folder, tmp_path / "elsewhere")
    shutil.rmtree(public / "text_encoder")  # the embedding is in the file
    again, _, metadata = load_fixer(path, str(public))
    assert metadata == {"steps": 3} and again.config.sd_turbo.pretrained == str(public)
    assert open_fixer(str(path)).fixer.config == fixer.config
    data = fixer_inputs(warped_window(1, 32, 32))
    assert torch.equal(again(data), fixer(data))
    assert not again.training and not any(parameter.requires_grad for parameter in again.parameters())


def test_other_public_weights_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "fixer.safetensors"
    save_fixer(path, tiny_sd_turbo(folder, **LORA), ErrorProfile(), {})
    other = write_sd_turbo(tmp_path / "other", seed=1)
    mixed, slower = (shutil.copytree(folder, tmp_path / name) for name in ("mixed", "slower"))
    shutil.rmtree(mixed / "vae")
    shutil.copytree(other / "vae", mixed / "vae")
    edited(slower / "scheduler/scheduler_config.json", beta_end=0.02)
    for place, part in ((other, "unet"), (mixed, "vae"), (slower, "alpha_bar")):
        with pytest.raises(InputError, match=f"was trained on public {part}") as caught:
            load_fixer(path, str(place))
        assert "\n" not in str(caught.value)


def test_a_pixel_fixer_is_written_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "fixer.safetensors"
    save_fixer(path, tiny_fixer(), ErrorProfile(), {})
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    assert "public" not in header
    config = json.loads(header["config"])
    del config["sd_turbo"]  # as a file that is older than the field
    save_file(load_file(path), tmp_path / "old.safetensors", metadata=header | {"config": json.dumps(config)})
    assert load_fixer(tmp_path / "old.safetensors")[0].config == tiny_fixer().config


def test_alpha_bar_is_the_product_of_what_each_step_keeps(folder: Path) -> None:
    product = 1.0
    for step in range(200):
        product *= 1.0 - (0.00085**0.5 + step / 999 * (0.012**0.5 - 0.00085**0.5)) ** 2
    path = folder / "scheduler/scheduler_config.json"
    assert scheduler_alpha_bar(path, 199) == pytest.approx(product, rel=1e-5)
    with pytest.raises(InputError, match="below 1000"):
        scheduler_alpha_bar(path, 1000)


@torch.no_grad()
def test_a_prompt_is_clips_last_state_for_77_tokens(folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
    letters = [tokenizer.convert_tokens_to_ids(token) for token in ("a</w>", "b", "c</w>")]
    ids = [tokenizer.bos_token_id, *letters] + [tokenizer.eos_token_id] * 73
    found = encode_prompt(str(folder), "a bc")
    torch.testing.assert_close(found, encoder(torch.tensor([ids])).last_hidden_state[0])
    assert found.shape == (77, 8) and not torch.equal(found, encode_prompt(str(folder), ""))


def unsafe(place: Path) -> None:
    (place / "unet/diffusion_pytorch_model.safetensors").unlink()
    torch.save({"conv_in.bias": torch.zeros(8)}, place / "unet/diffusion_pytorch_model.pth")


def without_a_tensor(place: Path) -> None:
    path = place / "unet/diffusion_pytorch_model.safetensors"
    state = load_file(path)
    del state["conv_out.bias"]
    save_file(state, path)


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (lambda place: shutil.rmtree(place / "unet"), "no unet weights"),
        (lambda place: shutil.rmtree(place / "vae"), "no image_vae weights"),
        (lambda place: shutil.rmtree(place / "scheduler"), "scheduler_config.json"),
        (lambda place: shutil.rmtree(place / "text_encoder"), "no clip_text weights"),
        (lambda place: shutil.rmtree(place / "tokenizer"), "no tokenizer"),
        (lambda place: (place / "unet/config.json").unlink(), "no config.json"),
        (unsafe, r"a .pth file; expected safetensors"),
        (without_a_tensor, "conv_out.bias missing"),
        (lambda place: edited(place / "unet/config.json", block_out_channels=[8, 12]), "as its config.json says"),
        (lambda place: edited(place / "unet/config.json", addition_embed_type="text_time"), "addition_embed_type"),
        (lambda place: edited(place / "unet/config.json", in_channels=9), "as its config.json says"),
        (lambda place: edited(place / "vae/config.json", shift_factor=0.1), "shift_factor"),
        (lambda place: edited(place / "scheduler/scheduler_config.json", prediction_type="sample"), "prediction_type"),
    ],
)
def test_what_is_no_sd_turbo_is_refused_in_one_line(
    folder: Path, tmp_path: Path, breaks: Callable[[Path], object], message: str
) -> None:
    place = shutil.copytree(folder, tmp_path / "broken")
    breaks(place)
    with pytest.raises(InputError, match=message) as caught:
        open_sd_turbo(SdTurboConfig(pretrained=str(place)))
    assert "\n" not in str(caught.value)


def test_a_single_file_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="a single file"):
        open_sd_turbo(SdTurboConfig(pretrained=str(folder / "unet/diffusion_pytorch_model.safetensors")))
