"""Settings of the methods of training, one class per method.

Nothing here imports the methods: they import their configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from faithfusion.utils.errors import InputError
from faithfusion.video.model.fixers.fixer_config import FixerConfig


@dataclass(frozen=True)
class PhiConfig:
    """Shares of the families; the rest of the windows keep their own phi.

    Attributes:
        ones: The share of windows with phi = 1 everywhere.
        smooth: The share of windows with a random smooth field where that is above the window's own.
        history: The share of windows whose first one or two latent frames are exact history: true content, phi = 0.
    """

    ones: float = 0.10
    smooth: float = 0.15
    history: float = 0.20

    def __post_init__(self) -> None:
        if min(self.ones, self.smooth, self.history) < 0 or self.ones + self.smooth > 1 or self.history > 1:
            raise InputError("flow.phi", self, "shares from 0 to 1 with ones + smooth at most 1")


Trainable = Literal["branch", "all"]
LEAST_CROP = 6  # SSIM reflects a border of 5 pixels (`utils.image_math`)


@dataclass(frozen=True)
class FlowConfig:
    """The flow-matching method.

    Attributes:
        trainable: With "branch" the backbone is frozen and outside the engine (pretrained Wan), but for its low-rank
            updates (`generator.lora`); with "all" backbone, branch and prompt embedding are trained together (wan-tiny,
            which has no pretrained backbone).
        held_weight: The loss weight of tokens that are still held at the render, relative to released ones. The sampler
            does not use what the network says about them (path hold; under the others they are told nothing).
        phi_weight: The loss weight of a token rises as 1 + phi_weight * phi.
        phi: The families of noise-level fields.
    """

    trainable: Trainable = "branch"
    held_weight: float = 0.0
    phi_weight: float = 0.0
    phi: PhiConfig = field(default_factory=PhiConfig)

    def __post_init__(self) -> None:
        for name in ("held_weight", "phi_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"flow.{name}", getattr(self, name), "a weight of at least 0")


@dataclass(frozen=True)
class DistributionMatchingConfig:
    """The distribution-matching method.

    Attributes:
        steps: The number of sampler steps of the student, which is stored with the weights.
        critic_updates: The critic is updated so often before each update of the student.
        critic_learning_rate: The critic's peak learning rate; warm-up and decay are those of `optimizer`.
        simulate: Trains on the states that the student itself reaches, as it will be used; else on states of true
            clips, which costs fewer passes.
        regression_weight: The weight of the squared distance to the true clip.
    """

    steps: int = 4
    critic_updates: int = 5
    critic_learning_rate: float = 8e-6
    simulate: bool = True
    regression_weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "critic_updates", "critic_learning_rate"):
            if getattr(self, name) <= 0:
                raise InputError(f"distribution_matching.{name}", getattr(self, name), "a positive number")
        if self.regression_weight < 0:
            raise InputError("distribution_matching.regression_weight", self.regression_weight, "at least 0")


@dataclass(frozen=True)
class CodecMethodConfig:
    """The codec's training.

    Attributes:
        crop_frames: The number of frames of a crop, 4k + 1.
        crop_height: The height of a crop in pixels, a multiple of 8; if it is larger than the clip, the whole clip is
            taken.
        crop_width: The width of a crop in pixels, a multiple of 8.
        gradient_weight: The weight of the L1 distance of image gradients at scales 1, 1/2 and 1/4, beside plain L1.
        latent_penalty: The weight of the mean square of raw latents, which keeps their scale finite.
        latent_noise: The standard deviation of noise that is added to raw latents, which keeps the decoder smooth where
            a generator will not be exact.
        statistics_clips: The mean and deviation of the latents are measured over so many training clips.
    """

    crop_frames: int = 5
    crop_height: int = 64
    crop_width: int = 64
    gradient_weight: float = 1.0
    latent_penalty: float = 1e-4
    latent_noise: float = 0.05
    statistics_clips: int = 32

    def __post_init__(self) -> None:
        if self.crop_frames % 4 != 1:
            raise InputError("codec.crop_frames", self.crop_frames, "4k + 1 frames")
        for name in ("crop_height", "crop_width"):
            if getattr(self, name) % 8 or getattr(self, name) <= 0:
                raise InputError(f"codec.{name}", getattr(self, name), "a positive multiple of 8")


@dataclass(frozen=True)
class FixerMethodConfig:
    """The method "fixer".

    Attributes:
        model: The architecture (a weights file given by `init_from` must have the same).
        after: The weights of the video model after which the fixer will work ("wan-tiny", or a file): it learns from
            that model's clips of the training windows as often as from their renders. Without it the fixer learns from
            renders only.
        crop_frames: So many consecutive frames are a sample; more than 1 for a model whose frames see each other
            (`model.reach`).
        crop_height: The height of a crop in pixels; if it is larger than the image, the whole image is taken.
        crop_width: The width of a crop in pixels.
        render_mix: The share of samples whose render is moved towards the truth, as if the video model had repaired it.
        render_mix_max: The largest part of that way, which is drawn uniformly from 0; the expected error falls with it.
        recolor: The share of samples in which render, views and truth change colours alike: channels are exchanged,
            darkened, half of them inverted. Streets are few, and what is to be repaired does not depend on their
            colours.
        recolor_darkest: The smallest factor that darkens, which is drawn uniformly up to 1.
        phi_weight: The weight of a pixel in all terms rises as 1 + phi_weight * phi.
        charbonnier: Errors of colours (in [0, 1]) below this count squared, above it about linearly.
        ssim_weight: The weight of 1 - SSIM beside the distance of colours.
        gradient_weight: The weight of the L1 distance of horizontal and vertical differences, which keeps edges sharp.
        feature_weight: The weight of the distance of MobileNetV2 features (`utils.mobilenet`; needs the extra
            `metrics`).
        flicker_weight: The weight of the L1 change, from a frame to the next along the rendered depth, of what is wrong
            (samples of several frames).
    """

    model: FixerConfig = field(default_factory=FixerConfig)
    after: str = ""
    crop_frames: int = 1
    crop_height: int = 96
    crop_width: int = 128
    render_mix: float = 0.25
    render_mix_max: float = 0.5
    recolor: float = 0.0
    recolor_darkest: float = 0.6
    phi_weight: float = 1.0
    charbonnier: float = 1e-3
    ssim_weight: float = 0.2
    gradient_weight: float = 0.5
    feature_weight: float = 0.0
    flicker_weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("crop_height", "crop_width"):
            if getattr(self, name) < LEAST_CROP:
                raise InputError(f"fixer.{name}", getattr(self, name), f"at least {LEAST_CROP} pixels")
        if self.charbonnier <= 0:
            raise InputError("fixer.charbonnier", self.charbonnier, "a positive number")
        if self.crop_frames < 1 or (self.crop_frames == 1 and (self.model.reach or self.flicker_weight)):
            found = f"{self.crop_frames} with model.reach {self.model.reach}, flicker_weight {self.flicker_weight}"
            raise InputError("fixer.crop_frames", found, "at least 1, and more where frames see each other")
        for name in ("phi_weight", "ssim_weight", "gradient_weight", "feature_weight", "flicker_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"fixer.{name}", getattr(self, name), "a weight of at least 0")
        for name in ("render_mix", "render_mix_max", "recolor", "recolor_darkest"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"fixer.{name}", getattr(self, name), "a share between 0 and 1")
