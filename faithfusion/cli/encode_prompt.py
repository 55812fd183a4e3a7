"""Encodes a prompt with Wan's text encoder once: python tools/encode_prompt.py --model MODEL --out prompt.safetensors

MODEL: folder, file or hub id of a Wan2.1 model, for example Wan-AI/Wan2.1-VACE-1.3B. See docs/weights.md.
"""

from __future__ import annotations

from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.utils.atomic import require_writable
from faithfusion.utils.device import choose_device
from faithfusion.utils.progress import say
from faithfusion.video.weights.prompt import (
    PROMPT_TOKENS,
    PromptConfig,
    PromptFile,
    count_tokens,
    encode_prompts,
    save_prompt_file,
)


def main(argv: list[str]) -> None:
    config = parse_config(PromptConfig, argv, description=__doc__)
    out, device = Path(config.out), choose_device(config.device)
    require_writable(out.parent)
    texts = [config.prompt, *([config.negative_prompt] if config.negative_prompt else [])]
    say(f"encoding {len(texts)} prompt(s) with {config.model} on {device}")
    embeddings = encode_prompts(config.model, texts, device)
    for text, embedding in zip(texts, embeddings, strict=True):
        tokens = count_tokens(embedding)
        say(f"{tokens} of {PROMPT_TOKENS} tokens: {text}" + (" [cut off]" if tokens == PROMPT_TOKENS else ""))
    negative = embeddings[1] if len(texts) > 1 else None
    save_prompt_file(out, PromptFile(embeddings[0], negative, config.prompt, config.negative_prompt, config.model))
    say(f"wrote {out}")
