"""Where weights are while a clip is sampled, light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class MemoryConfig:
    """Where the weights are while a clip is sampled, and in which pieces the VAE works.

    Attributes:
        offload: what waits in host memory: "none"; "parts": the codec while the transformer works and the other way
            round; "blocks": in addition all transformer blocks but the one at work and the next; "leaves": the same by
            single linear layers.
        offload_folder: folder for the waiting blocks or layers, if host memory is short too; empty for host memory.
        vae_tile_pixels: side of the square tiles in which the codec works, a multiple of the codec's
            stride (8 for Wan2.1); 0 for whole frames.
        vae_tile_overlap: pixels by which neighbouring tiles at least overlap and are blended, a multiple
            of the stride.
        dtype: precision of backbone and branch: auto = bf16 on CUDA, fp32 on a CPU. Norms and time embedding stay in
            fp32.
        codec_dtype: precision of the codec.
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
