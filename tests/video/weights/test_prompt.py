from __future__ import annotations

import gc
from pathlib import Path

import pytest
import tiny_wan_weights as tiny
import torch
from run_command import run_command
from safetensors.torch import save_file
from torch import Tensor

from faithfusion.cli.encode_prompt import DRIVING_PROMPT, main
from faithfusion.utils.errors import InputError
from faithfusion.video.weights.prompt import (
    PROMPT_TOKENS,
    PromptFile,
    count_tokens,
    encode_prompts,
    load_prompt_file,
    save_prompt_file,
)
from faithfusion.video.weights.weight_layouts import match, umt5_config

PROMPTS = [
    "a car  drives\non a street &amp;amp; turns",
    "",
    " ".join(f"w{index * index % 101}" for index in range(600)),
]  # repeated words make more rounding


@pytest.fixture(params=["official", "diffusers"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model folder with encoder and tokenizer where each layout has them."""
    tiny.written("umt5", request.param, tmp_path / "model")
    tiny.save_tokenizer(tmp_path / "model" / {"official": "google/umt5-xxl", "diffusers": "tokenizer"}[request.param])
    return tmp_path / "model"


def encoded_upstream(folder: Path, prompt: str, dtype: torch.dtype) -> Tensor:
    """As Wan-Video does: padded tokens and mask through the encoder, the prompt's own rows, zeros after them."""
    from diffsynth.models.wan_video_text_encoder import HuggingfaceTokenizer

    tokenizer = HuggingfaceTokenizer(next(folder.rglob("tokenizer.json")).parent, seq_len=512, clean="whitespace")
    ids, mask = tokenizer(prompt, return_mask=True, add_special_tokens=True)
    with torch.no_grad():
        embedding = tiny.diffsynth_umt5().to(dtype)(ids, mask)[0]
    embedding[int(mask.sum()) :] = 0.0
    return embedding


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_embeddings_are_those_of_wan_to_the_last_bit(source: Path, dtype: torch.dtype) -> None:
    found = encode_prompts(str(source), PROMPTS, dtype=dtype)
    expected = torch.stack([encoded_upstream(source, prompt, dtype) for prompt in PROMPTS])
    assert found.shape == (3, PROMPT_TOKENS, tiny.TEXT) and expected.std() > 0.3
    assert torch.equal(found, expected)
    assert [count_tokens(embedding) for embedding in found] == [9, 1, PROMPT_TOKENS]
    assert found[0, 9:].abs().max() == 0.0


@torch.no_grad()
def test_diffusers_pipeline_gives_nearly_the_same(source: Path) -> None:
    """It uses another attention kernel."""
    from diffusers import WanPipeline
    from transformers import AutoTokenizer, UMT5Config, UMT5EncoderModel

    state = tiny.named("umt5")
    config = umt5_config(match({name: tuple(value.shape) for name, value in state.items()}).symbols)
    encoder = UMT5EncoderModel(UMT5Config(**config))
    encoder.load_state_dict(state | {"encoder.embed_tokens.weight": state["shared.weight"]})
    tokenizer = AutoTokenizer.from_pretrained(next(source.rglob("tokenizer.json")).parent)
    pipeline = WanPipeline(tokenizer, encoder.eval(), vae=None, scheduler=None)
    expected = pipeline.encode_prompt(PROMPTS[0], do_classifier_free_guidance=False, max_sequence_length=512)[0]
    found = encode_prompts(str(source), PROMPTS[:1], dtype=torch.float32)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0.0)


def test_the_encoder_is_gone_afterwards(source: Path) -> None:
    from transformers import UMT5EncoderModel

    encode_prompts(str(source), PROMPTS[:1])
    assert not any(isinstance(thing, UMT5EncoderModel) for thing in gc.get_objects())


def test_no_tokenizer_or_another_one_is_refused(tmp_path: Path) -> None:
    files = tiny.written("umt5", "official", tmp_path)
    with pytest.raises(InputError, match="no tokenizer beside it"):
        encode_prompts(str(files[0]), ["a"])
    tiny.save_tokenizer(tmp_path / "tokenizer", ["<pad>", "</s>", "<unk>", *map(str, range(tiny.VOCABULARY))])
    with pytest.raises(InputError, match=f"tokenizer with token {tiny.VOCABULARY}; expected"):
        encode_prompts(str(files[0]), [str(tiny.VOCABULARY - 3)])


def test_prompt_files(tmp_path: Path) -> None:
    path = tmp_path / "prompt.safetensors"
    prompt, negative = torch.zeros(2, PROMPT_TOKENS, 6, dtype=torch.bfloat16)
    prompt[:3], negative[:5] = torch.randn(3, 6), torch.randn(5, 6)
    save_prompt_file(path, PromptFile(prompt, negative, "yes", "no", "somewhere"))
    assert path.stat().st_size < 1000  # zero rows are not stored
    found = load_prompt_file(path, 6)
    assert torch.equal(found.prompt, prompt) and torch.equal(found.negative, negative)
    assert (found.text, found.negative_text, found.source) == ("yes", "no", "somewhere")
    save_prompt_file(path, PromptFile(prompt, None, "yes", "", "somewhere"))
    assert load_prompt_file(path, 6).negative is None
    with pytest.raises(InputError, match=r"shape \[3, 6\]; expected at most 512 rows of 4096"):
        load_prompt_file(path, 4096)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match="cannot be read"):
        load_prompt_file(path, 6)
    save_file({"prompt": torch.zeros(2, 6)}, path)
    with pytest.raises(InputError, match="tensors prompt, format None; expected a prompt file"):
        load_prompt_file(path, 6)
    with pytest.raises(InputError, match="no such file"):
        load_prompt_file(tmp_path / "absent.safetensors", 6)


@pytest.mark.parametrize("source", ["official"], indirect=True)
def test_tool(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "prompt.safetensors"
    main(["--model", str(source), "--negative_prompt", "a car", "--out", str(out), "--device", "cpu"])
    found = load_prompt_file(out, tiny.TEXT)
    assert (found.text, found.negative_text, found.source) == (DRIVING_PROMPT, "a car", str(source))
    assert torch.equal(
        torch.stack([found.prompt, found.negative]), encode_prompts(str(source), [DRIVING_PROMPT, "a car"])
    )
    other = tmp_path / "other.safetensors"
    failed = run_command(main, "--model", tmp_path / "absent", "--out", other, cwd=tmp_path)
    assert failed.returncode == 2 and failed.stderr.splitlines()[-1].startswith("error: ")
    assert "no such file or folder" in failed.stderr and "Traceback" not in failed.stderr
    assert not other.exists()
