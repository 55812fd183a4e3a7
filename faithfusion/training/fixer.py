"""Training of the single-image fixer: the weighted distance of its frames from the true ones."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.training.data import FixerBatch
from faithfusion.utils.errors import InputError
from faithfusion.utils.image_math import SSIM_RADIUS, ssim_map
from faithfusion.utils.mobilenet import feature_distance, open_mobilenet, unit_features
from faithfusion.video.fixer.fixer import Fixer, FixerConfig
from faithfusion.video.model.conditioning import noise_level


@dataclass(frozen=True)
class FixerMethodConfig:
    """The method "fixer".

    Attributes:
        model: Architecture (a weights file given by `init_from` must have the same).
        after: Weights of the video model after which the fixer will work ("wan-tiny", or a file): it learns from that
            model's clips of the training windows as often as from their renders. Empty: from renders only.
        crop_height: Pixels of a crop; larger than the image means the whole image.
        crop_width: The same.
        render_mix: Share of samples whose render is moved towards the truth, as if the video model had repaired it.
        render_mix_max: Largest part of the way, drawn uniformly from 0; the expected error falls with it.
        recolor: Share of samples in which render, views and truth change colours alike: channels exchanged, darkened,
            half of them inverted. Streets are few, and what is to be repaired does not depend on their colours.
        recolor_darkest: Smallest factor that darkens, drawn uniformly up to 1.
        phi_weight: The weight of a pixel in all terms rises as 1 + phi_weight * phi.
        charbonnier: Errors of colours (in [0, 1]) below this count squared, above it about linearly.
        ssim_weight: Weight of 1 - SSIM beside the colours' distance.
        gradient_weight: Weight of the L1 distance of horizontal and vertical differences, which keeps edges sharp.
        feature_weight: Weight of the distance of MobileNetV2 features (`utils.mobilenet`; needs the extra `metrics`).
    """

    model: FixerConfig = field(default_factory=FixerConfig)
    after: str = ""
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

    def __post_init__(self) -> None:
        for name in ("crop_height", "crop_width"):
            if getattr(self, name) <= SSIM_RADIUS:
                raise InputError(f"fixer.{name}", getattr(self, name), f"more than SSIM's {SSIM_RADIUS} pixels")
        if self.charbonnier <= 0:
            raise InputError("fixer.charbonnier", self.charbonnier, "a positive number")
        for name in ("phi_weight", "ssim_weight", "gradient_weight", "feature_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"fixer.{name}", getattr(self, name), "a weight of at least 0")
        for name in ("render_mix", "render_mix_max", "recolor", "recolor_darkest"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"fixer.{name}", getattr(self, name), "a share between 0 and 1")


class FixerMethod(nn.Module):
    """Trains what a fixer says is trained, under its own parameter names."""

    def __init__(self, config: FixerMethodConfig, fixer: Fixer) -> None:
        super().__init__()
        self._config = config
        fixer.register_trained(self)
        self._hidden_fixer = (fixer,)
        self._hidden_network = (open_mobilenet(),) if config.feature_weight else ()  # a tuple hides it: never trained

    def forward(self, batch: FixerBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one micro-batch and what to log; every draw comes from `generator` (on the batch's device)."""
        config, fixer = self._config, self._hidden_fixer[0]
        batch = recolored(partly_repaired(batch, config, generator), config, generator)
        phi = noise_level(batch.inputs.expected_sq_error, fixer.config.conditioning)
        weight = 1.0 + config.phi_weight * phi
        result = fixer(batch.inputs).float()
        with torch.autocast(result.device.type, enabled=False):  # SSIM's variances are differences of large numbers
            terms = distances(result, batch.truth, weight, config.charbonnier)
            for network in self._hidden_network:
                images = (unit_features(network.to(result.device), image) for image in (result, batch.truth))
                terms["feature"] = feature_distance(*images, weight)
        factors = {"color": 1.0, "ssim": config.ssim_weight, "gradient": config.gradient_weight}
        factors["feature"] = config.feature_weight
        loss = sum(factors[name] * term for name, term in terms.items())
        with torch.no_grad():
            errors = {"psnr_db": result.clamp(0.0, 1.0), "render_psnr_db": batch.inputs.render}
            values = {name: -10.0 * (image - batch.truth).square().mean().log10() for name, image in errors.items()}
        return loss, {**terms, **values}


def partly_repaired(batch: FixerBatch, config: FixerMethodConfig, generator: torch.Generator) -> FixerBatch:
    """The batch with some renders moved towards the truth; their expected squared error falls as theirs does."""
    inputs = batch.inputs
    chosen, part = torch.rand(2, len(batch.truth), generator=generator, device=generator.device)
    moved = torch.where(chosen < config.render_mix, config.render_mix_max * part, 0.0)[:, None, None]
    render = torch.lerp(inputs.render, batch.truth, moved[:, None])
    error = inputs.expected_sq_error * (1.0 - moved).square()
    return FixerBatch(dataclasses.replace(inputs, render=render, expected_sq_error=error), batch.truth)


def recolored(batch: FixerBatch, config: FixerMethodConfig, generator: torch.Generator) -> FixerBatch:
    """The batch with other colours in some samples; the expected squared error changes as colour differences do."""
    if config.recolor == 0:
        return batch
    draw = {"generator": generator, "device": generator.device}
    count, inputs = len(batch.truth), batch.inputs
    chosen, darker, inverted = torch.rand(3, count, **draw)
    is_chosen = chosen < config.recolor
    order = torch.rand(count, 3, **draw).argsort(dim=1)
    order = torch.where(is_chosen[:, None], order, torch.arange(3, device=generator.device))
    factor = torch.where(is_chosen, config.recolor_darkest + (1.0 - config.recolor_darkest) * darker, 1.0)
    is_inverted = is_chosen & (inverted < 0.5)

    def change(colors: Float[Tensor, "b *n 3 h w"]) -> Float[Tensor, "b *n 3 h w"]:
        spread = (count, *[1] * (colors.dim() - 4), 3, 1, 1)
        colors = colors.gather(-3, order.reshape(spread).expand(colors.shape))
        one = (count, *[1] * (colors.dim() - 1))
        colors = torch.where(is_inverted.reshape(one), 1.0 - colors, colors)
        return factor.reshape(one) * colors

    images = {name: change(getattr(inputs, name)) for name in ("render", "views", "references")}
    error = inputs.expected_sq_error * factor.square()[:, None, None]
    return FixerBatch(dataclasses.replace(inputs, **images, expected_sq_error=error), change(batch.truth))


def distances(
    result: Float[Tensor, "b 3 h w"],
    truth: Float[Tensor, "b 3 h w"],
    weight: Float[Tensor, "b h w"],
    charbonnier: float,
) -> dict[str, Float[Tensor, ""]]:
    """Weighted means over the pixels: "color" sqrt(e^2 + c^2) - c of the error e (Charbonnier et al. 1994), "ssim"
    1 - SSIM, "gradient" the L1 distance of differences to the right and below."""
    error = result - truth
    color = (error.square() + charbonnier**2).sqrt().mean(1) - charbonnier
    images = [rearrange(values, "b c h w -> b h w c") for values in (result, truth)]
    similarity = torch.stack([ssim_map(*pair) for pair in zip(*images, strict=True)])
    return {
        "color": _weighted_mean(color, weight),
        "ssim": _weighted_mean(1.0 - similarity, weight),
        "gradient": _weighted_mean(error.diff(dim=-1).abs().mean(1), weight[..., 1:])
        + _weighted_mean(error.diff(dim=-2).abs().mean(1), weight[:, 1:]),
    }


def _weighted_mean(values: Float[Tensor, "b h w"], weight: Float[Tensor, "b h w"]) -> Float[Tensor, ""]:
    return (weight * values).sum() / weight.sum()
