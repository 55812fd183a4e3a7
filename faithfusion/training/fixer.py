"""Training of the fixer, of single images or of clips: the weighted distance of its frames from the true ones."""

from __future__ import annotations

import dataclasses

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.training.data import FixerBatch
from faithfusion.training.method_config import FixerMethodConfig
from faithfusion.utils.image_math import ssim_map
from faithfusion.utils.mobilenet import feature_distance, open_mobilenet, unit_features
from faithfusion.video.model.conditioning import noise_level
from faithfusion.video.model.fixers.fixer import Fixer, FixerInputs
from faithfusion.video.model.fixers.neighbours import aligned


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
            if config.flicker_weight:
                terms["flicker"] = flicker_of_errors(result - batch.truth, batch.inputs, weight)
        factors = {"color": 1.0, "ssim": config.ssim_weight, "gradient": config.gradient_weight}
        factors |= {"feature": config.feature_weight, "flicker": config.flicker_weight}
        loss = sum(factors[name] * term for name, term in terms.items())
        with torch.no_grad():
            errors = {"psnr_db": result.clamp(0.0, 1.0), "render_psnr_db": batch.inputs.render}
            values = {name: -10.0 * (image - batch.truth).square().mean().log10() for name, image in errors.items()}
        return loss, {**terms, **values}


def partly_repaired(batch: FixerBatch, config: FixerMethodConfig, generator: torch.Generator) -> FixerBatch:
    """The batch with some renders moved towards the truth; their expected squared error falls as theirs does."""
    inputs = batch.inputs
    chosen, part = torch.rand(2, num_samples(inputs), generator=generator, device=generator.device)
    moved = torch.where(chosen < config.render_mix, config.render_mix_max * part, 0.0)
    moved = moved.repeat_interleave(inputs.num_frames)[:, None, None]
    render = torch.lerp(inputs.render, batch.truth, moved[:, None])
    error = inputs.expected_sq_error * (1.0 - moved).square()
    return FixerBatch(dataclasses.replace(inputs, render=render, expected_sq_error=error), batch.truth)


def num_samples(inputs: FixerInputs) -> int:
    """Of a batch: frames, or clips of several."""
    return len(inputs.render) // inputs.num_frames


def recolored(batch: FixerBatch, config: FixerMethodConfig, generator: torch.Generator) -> FixerBatch:
    """The batch with other colours in some samples; the expected squared error changes as colour differences do."""
    if config.recolor == 0:
        return batch
    draw = {"generator": generator, "device": generator.device}
    count, inputs = num_samples(batch.inputs), batch.inputs
    draws = (*torch.rand(3, count, **draw), torch.rand(count, 3, **draw).argsort(dim=1))
    chosen, darker, inverted, order = (values.repeat_interleave(inputs.num_frames, dim=0) for values in draws)
    is_chosen, count = chosen < config.recolor, len(batch.truth)
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


def flicker_of_errors(
    error: Float[Tensor, "b 3 h w"], inputs: FixerInputs, weight: Float[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Weighted mean over the pixels whose surface the next frame shows too: L1 change of the error from frame to frame
    along the rendered depth."""
    following = aligned(inputs.depth_m, inputs.poses, inputs.num_frames, (1,), 1)
    change = (following.gather(error)[:, 0] - error).abs().mean(1)
    return _weighted_mean(change, weight * following.is_shown[:, 0]) if following.is_shown.any() else change.sum() * 0.0


def _weighted_mean(values: Float[Tensor, "b h w"], weight: Float[Tensor, "b h w"]) -> Float[Tensor, ""]:
    return (weight * values).sum() / weight.sum()
