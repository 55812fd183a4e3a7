"""Prompt embeddings: encoded once by Wan's UMT5 encoder and stored, so that sampling and training never load it.

A prompt file is safetensors: `prompt` [n, E], the embedding of the prompt's own n tokens, optionally `negative_prompt`
[m, E], and a header with the texts and the source of the encoder. Rows past them are zero, as in Wan2.1
(`wan/modules/t5.py`, `wan/modules/model.py`), and not stored.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra
from faithfusion.video.weights.weight_files import WeightFiles, open_source, read_shapes, read_tensors
from faithfusion.video.weights.weight_layouts import Match, match, require_kind, umt5_config

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

PROMPT_TOKENS = 512  # Wan2.1 pads and cuts every prompt to this length
FORMAT = "faithfusion.prompt"


@dataclass(frozen=True)
class PromptFile:
    """A stored prompt, padded to `PROMPT_TOKENS` rows. `negative`: None if there is none."""

    prompt: Float[Tensor, "p e"]
    negative: Float[Tensor, "p e"] | None
    text: str
    negative_text: str
    source: str


def encode_prompts(
    source: str, prompts: Sequence[str], device: torch.device | str = "cpu", dtype: torch.dtype = torch.bfloat16
) -> Float[Tensor, "n p e"]:
    """Embeddings on the CPU, P = 512 rows each, zero past the prompt's own tokens; longer prompts are cut as in Wan.

    Prompts are encoded one at a time; the encoder is freed before this returns. Raises InputError for a source without
    text encoder or tokenizer, or with those of another model.
    """
    require_extra("video", "transformers", "ftfy")
    weights = open_source(source, "text_encoder")
    found = match(read_shapes(weights), weights.where)
    require_kind(found, ("umt5",), weights.where)
    tokenizer = _load_tokenizer(weights)
    tokens = [_tokenize(tokenizer, prompt) for prompt in prompts]
    largest = max((int(ids.max()) for ids, _ in tokens), default=0)
    if largest >= found.symbols["vocabulary"]:
        expected = f"one of at most {found.symbols['vocabulary']} tokens"
        raise InputError(str(weights.tokenizer), f"tokenizer with token {largest}", expected)
    encoder = _load_encoder(weights, found, dtype).to(device)
    try:
        embeddings = [_encode(encoder, ids.to(device), mask.to(device)).cpu() for ids, mask in tokens]
    finally:
        del encoder
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return torch.stack(embeddings) if embeddings else torch.zeros(0, PROMPT_TOKENS, found.symbols["dim"], dtype=dtype)


def count_tokens(embedding: Float[Tensor, "p e"]) -> int:
    """Rows of an embedding that belong to the prompt (its last row is never zero)."""
    rows = embedding.ne(0).any(-1).nonzero()
    return int(rows.max()) + 1 if len(rows) else 0


def save_prompt_file(path: Path, prompt: PromptFile) -> None:
    """Writes the file whole or not at all."""
    tensors = {"prompt": _own_rows(prompt.prompt)}
    if prompt.negative is not None:
        tensors["negative_prompt"] = _own_rows(prompt.negative)
    header = {"format": FORMAT, "text": prompt.text, "negative_text": prompt.negative_text, "source": prompt.source}
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata=header)


def load_prompt_file(path: str | Path, text_dim: int) -> PromptFile:
    """Reads a file of `save_prompt_file`, padded with zero rows.

    Raises InputError for a missing, broken or foreign file, or embeddings of another width than `text_dim`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", "a prompt file (made by tools/encode_prompt.py)")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"cannot be read ({error})", "an intact prompt file") from None
    if header.get("format") != FORMAT or "prompt" not in tensors or not tensors.keys() <= {"prompt", "negative_prompt"}:
        found = f"tensors {', '.join(sorted(tensors)[:3]) or 'none'}, format {header.get('format')}"
        raise InputError(path, found, "a prompt file (made by tools/encode_prompt.py)")
    padded = {name: _padded(value, path, text_dim) for name, value in tensors.items()}
    texts = (header.get(name, "") for name in ("text", "negative_text", "source"))
    return PromptFile(padded["prompt"], padded.get("negative_prompt"), *texts)


def _load_tokenizer(weights: WeightFiles) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    if weights.tokenizer is None:
        raise InputError(weights.where, "no tokenizer beside it", "a folder tokenizer/ or google/umt5-xxl/")
    try:
        return AutoTokenizer.from_pretrained(weights.tokenizer, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        found = " ".join(str(error).split())[:160]
        raise InputError(weights.tokenizer, f"cannot be read ({found})", "a tokenizer") from None


def _tokenize(tokenizer: PreTrainedTokenizerBase, prompt: str) -> tuple[Int[Tensor, "1 p"], Int[Tensor, "1 p"]]:
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean  # as Wan's own code

    tokens = tokenizer(
        [prompt_clean(prompt)],
        padding="max_length",
        max_length=PROMPT_TOKENS,
        truncation=True,
        add_special_tokens=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    return tokens.input_ids, tokens.attention_mask


def _load_encoder(weights: WeightFiles, found: Match, dtype: torch.dtype) -> UMT5EncoderModel:
    from transformers import UMT5Config, UMT5EncoderModel

    with torch.device("meta"):
        # eager attention does what Wan's own code does, to the last bit
        encoder = UMT5EncoderModel(UMT5Config(**umt5_config(found.symbols), attn_implementation="eager"))
    state = read_tensors(weights, found.names, dtype)
    state["encoder.embed_tokens.weight"] = state["shared.weight"]
    encoder.load_state_dict(state, assign=True)
    encoder.set_input_embeddings(encoder.shared)  # one parameter again, one copy on a GPU
    return encoder.eval().requires_grad_(False)


@torch.no_grad()
def _encode(encoder: UMT5EncoderModel, ids: Int[Tensor, "1 p"], mask: Int[Tensor, "1 p"]) -> Float[Tensor, "p e"]:
    embedding = encoder(ids, mask).last_hidden_state[0]
    past = torch.arange(len(embedding), device=ids.device) >= mask.sum()
    return embedding.masked_fill(past[:, None], 0.0)


def _own_rows(embedding: Float[Tensor, "p e"]) -> Float[Tensor, "n e"]:
    return embedding[: count_tokens(embedding)].detach().cpu().contiguous()


def _padded(rows: Tensor, path: Path, text_dim: int) -> Float[Tensor, "p e"]:
    if rows.ndim != 2 or rows.shape[1] != text_dim or len(rows) > PROMPT_TOKENS:
        expected = f"at most {PROMPT_TOKENS} rows of {text_dim} (the backbone's text_dim)"
        raise InputError(path, f"an embedding of shape {list(rows.shape)}", expected)
    return torch.nn.functional.pad(rows, (0, 0, 0, PROMPT_TOKENS - len(rows)))
