"""The configuration of a single-image fixer, which is stored with its weights.

A field that a stored configuration lacks, because it is younger, has its default: defaults mean "as before".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from faithfusion.utils.errors import InputError
from faithfusion.video.model.config import ConditioningConfig, LoraConfig

HEAD_DIM = 16  # channels of one attention head


@dataclass(frozen=True)
class SdTurboConfig:
    """A one-step latent model on public weights of SD-Turbo's class (`sd_turbo`).

    Attributes:
        pretrained: The folder in diffusers' layout or hub id (owner/name[@revision]) of U-Net, VAE, scheduler and,
            where no weights file of ours is opened, text encoder.
        timestep: The time of the one step, below the scheduler's number of training steps; the render's latent is taken
            for a sample of that time.
        num_references: So many recorded views, as they are, give tokens that every self-attention of the U-Net sees,
            too; 0 means none.
        trainable: "unet" trains all of the U-Net, "unet_lora" low-rank updates and the added input channels. The VAE is
            never trained.
        lora: The low-rank updates, for "unet_lora" only.
        prompt: The prompt, which is encoded once; our weights file stores the embedding.
    """

    pretrained: str = "stabilityai/sd-turbo"
    timestep: int = 199
    num_references: int = 0
    trainable: Literal["unet", "unet_lora"] = "unet"
    lora: LoraConfig = field(default_factory=lambda: LoraConfig(rank=16))
    prompt: str = ""

    def __post_init__(self) -> None:
        if self.timestep < 0 or self.num_references < 0:
            found = f"timestep {self.timestep}, num_references {self.num_references}"
            raise InputError("fixer.sd_turbo", found, "both at least 0")
        if self.trainable == "unet_lora" and not self.lora.rank:
            raise InputError("fixer.sd_turbo.lora.rank", 0, "at least 1 with trainable unet_lora")


@dataclass(frozen=True)
class FixerConfig:
    """Everything that fixes the fixer's architecture and what its inputs mean.

    Attributes:
        num_views: The number of warped views that it reads; missing ones count as untrusted, more are left out.
        unshuffle: The number of pixels along each side of a cell of the U-Net's finest level.
        channels: The width of each level of the U-Net, multiples of 8, each half as fine as the one before.
        layers_per_level: The number of residual blocks on the way down; there is one more on the way up.
        attention: Adds self-attention at the coarsest level.
        reach: So many frames before and after are looked at along the rendered depth (`neighbours`); 0: frames do not
            see each other.
        slide_px: Every view is copied from up to so many pixels (along each axis) beside the place where the depth puts
            it, as the network says for every pixel: depth is wrong at edges. 0: from that place.
        near_depth_m: The depth in metres that is given to the network as 1; nearer is cut off, infinity is 0.
        conditioning: How the expected error becomes phi.
        sd_turbo: if given, the model is one on public latent weights, and of the above only num_views and conditioning
            mean something; None: the small U-Net in pixels. (None is also what a checkpoint holds that was written
            before this field, so such a run continues.)
    """

    num_views: int = 2
    unshuffle: int = 2
    channels: tuple[int, ...] = (32, 48, 72, 96)
    layers_per_level: int = 1
    attention: bool = True
    reach: int = 0
    slide_px: float = 0.0
    near_depth_m: float = 4.0
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    sd_turbo: SdTurboConfig | None = None

    def __post_init__(self) -> None:
        if (
            min(self.num_views, self.reach, self.slide_px) < 0
            or min(self.unshuffle, self.layers_per_level) < 1
            or self.near_depth_m <= 0
        ):
            raise InputError("fixer", self, "num_views, reach and slide_px of at least 0, everything else positive")
        if self.reach and self.sd_turbo:
            raise InputError("fixer.reach", self.reach, "0 with sd_turbo, which fixes single frames")
        if not self.channels or any(width < 8 or width % 8 for width in self.channels):
            raise InputError("fixer.channels", self.channels, "positive multiples of 8, one per level")
        if self.attention and self.channels[-1] < HEAD_DIM:
            raise InputError("fixer.channels", self.channels, f"at least {HEAD_DIM} in the last level, for attention")

    @property
    def num_references(self) -> int:
        """Recorded views, as they are, that the model reads beside a frame."""
        return self.sd_turbo.num_references if self.sd_turbo else 0
