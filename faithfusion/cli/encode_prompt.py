"""Encodes a prompt with Wan's text encoder once: python tools/encode_prompt.py --model MODEL --out prompt.safetensors

MODEL is the folder, file or hub id of a Wan2.1 model, for example Wan-AI/Wan2.1-VACE-1.3B; see docs/weights.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faithfusion.config import parse_config

DRIVING_PROMPT = (
    "A video from a camera on a moving car, driving along a city street in daylight. Sharp lane markings, parked and "
    "moving cars, buildings, trees and traffic signs with clean edges; natural colours, steady exposure, photographic."
)


@dataclass(frozen=True)
class PromptOptions:
    """What is encoded with which model.

    Attributes:
        model: Where the text encoder and its tokenizer are: folder, file or hub id of any Wan2.1 model.
        prompt: What the generated video shows.
        negative_prompt: What it does not show, for classifier-free guidance. Without it none is stored.
        out: The file to write.
        device: Where the text is encoded: "auto" is CUDA if there is a device. The encoder takes 11.4 GB in bfloat16.
    """

    model: str = "Wan-AI/Wan2.1-VACE-1.3B"
    prompt: str = DRIVING_PROMPT
    negative_prompt: str = ""
    out: str = "prompt.safetensors"
    device: str = "auto"


def main(argv: list[str]) -> None:
    """Encodes the prompts and writes the file."""
    config = parse_config(PromptOptions, argv, description=__doc__)

    from faithfusion.utils.atomic import require_writable
    from faithfusion.utils.device import choose_device
    from faithfusion.utils.progress import say
    from faithfusion.video.weights.prompt import (
        PROMPT_TOKENS,
        PromptFile,
        count_tokens,
        encode_prompts,
        save_prompt_file,
    )

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
