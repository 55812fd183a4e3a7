"""Where weights are while a clip is sampled, light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class MemoryConfig:
    """Where the weights are while a clip is sampled, and in which pieces the VAE works.

    Attributes:
        offload: What waits in host memory: with "none" nothing; with "parts" the codec while the transformer works and
            the other way round; with "blocks" also all transformer blocks but the one at work and the next; with
            "leaves" the same by single linear layers.
        offload_folder: The folder in which blocks or layers wait, if host memory is short too. Without it they wait in
            host memory.
        vae_tile_pixels: The side of the square tiles in which the codec works, a multiple of the codec's stride (8 for
            Wan2.1); 0 takes whole frames.
        vae_tile_overlap: Neighbouring tiles overlap by at least so many pixels, a multiple of the stride, and are
            blended there.
        dtype: The precision of backbone and branch: "auto" is bf16 on CUDA and fp32 on a CPU. Norms and time embedding
            stay in fp32.
        codec_dtype: The precision of the codec.
    """

    offload: Literal["none", "parts", "blocks", "leaves"] = "none"
    offload_folder: str = ""
    vae_tile_pixels: int = 0
    vae_tile_overlap: int = 64
    dtype: Literal["auto", "bf16", "fp32"] = "auto"
    codec_dtype: Literal["bf16", "fp32"] = "fp32"

    def __post_init__(self) -> None:
        if self.offload_folder and self.offload not in ("blocks", "leaves"):
            raise InputError("memory.offload_folder", self.offload_folder, "memory.offload blocks or leaves with it")
