"""The fixer at full size: one step of a public latent model of SD-Turbo's class, told EIG and recorded views.

The role of Difix3D+ (Wu et al. 2025), written from its public description. The render's latent z is taken, without any
noise, for a sample of the time t, and the network's guess of the noise in it is removed (Ho et al. 2020, eq. 15):

    x0 = (z - sqrt(1 - abar_t) eps(z, t, prompt)) / sqrt(abar_t)

Added input channels (zero weights at the start, so that step 0 is the public model) say mean and maximum of phi in each
latent cell, and the latents of the warped views with their mean trust. Unwarped recorded views go through the same
network beside the image; in every self-attention the tokens of all of them look at each other.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from faithfusion.utils.errors import InputError
from faithfusion.video.fixer.sd_turbo_weights import PROMPT_TOKENS, PublicParts
from faithfusion.video.model.conditioning import noise_level
from faithfusion.video.model.fixers.fixer import Fixer, FixerConfig, FixerInputs, own_views, padded_to
from faithfusion.video.model.lora import add_lora, is_lora_name, lora_tree

EIG_CHANNELS = 2  # mean and maximum of phi
ADDED = "conv_in.added."


class ExtendedConv(nn.Module):
    """A public convolution of the first channels and one, without bias and zero at the start, of those after them."""

    def __init__(self, public: nn.Conv2d, added_channels: int) -> None:
        super().__init__()
        self.public = public
        size = {"kernel_size": public.kernel_size, "stride": public.stride, "padding": public.padding}
        self.added = nn.Conv2d(added_channels, public.out_channels, **size, bias=False)
        nn.init.zeros_(self.added.weight)

    def forward(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """The sum of both, which is one convolution of all channels."""
        known = self.public.in_channels
        return self.public(values[:, :known]) + self.added(values[:, known:])


class StackedAttention:
    """diffusers' attention processor for images that are stacked along the batch, `views` of each sample in turn:
    self-attention joins their tokens; attention to the prompt is as ever."""

    def __init__(self) -> None:
        self._plain = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Float[Tensor, "bv l d"],
        encoder_hidden_states: Float[Tensor, "bv p e"] | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        views: int = 1,
    ) -> Float[Tensor, "bv l d"]:
        """Called by diffusers, which hands `views` on from its `cross_attention_kwargs`."""
        if encoder_hidden_states is not None or views == 1:
            return self._plain(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        joined = rearrange(hidden_states, "(b v) l d -> b (v l) d", v=views)
        return rearrange(self._plain(attn, joined, temb=temb), "b (v l) d -> (b v) l d", v=views)


class SdTurboFixer(Fixer):
    """The public parts with added input channels, joined self-attention and, if configured, low-rank updates.

    `prompt` [P, E] is the cached embedding of the one prompt.
    """

    prompt: Tensor

    def __init__(self, config: FixerConfig, parts: PublicParts) -> None:
        super().__init__(config)
        self.settings = config.sd_turbo
        self.network: UNet2DConditionModel = parts.unet
        self.vae: AutoencoderKL = parts.vae.requires_grad_(False).eval()
        self.alpha_bar, self.public = parts.alpha_bar, parts.identities
        latent = parts.vae.config.latent_channels
        added = EIG_CHANNELS + config.num_views * (latent + 1)
        self.network.conv_in = ExtendedConv(self.network.conv_in, added)
        self.network.set_attn_processor(StackedAttention())
        if self.settings.trainable == "unet_lora":
            add_lora(self.network, self.settings.lora)
        width = self.network.config.cross_attention_dim
        self.register_buffer("prompt", torch.zeros(PROMPT_TOKENS, width) if parts.prompt is None else parts.prompt)

    @property
    def cell(self) -> int:
        """Pixels along each side of a latent cell."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def side_multiple(self) -> int:
        """Pixels; the sides of the image are padded to multiples of it."""
        return self.cell * 2 ** (len(self.network.config.block_out_channels) - 1)

    def forward(self, inputs: FixerInputs) -> Float[Tensor, "b 3 h w"]:
        """The better frames, about in [0, 1] but not clamped; any size. References are of the frames' size."""
        height, width = inputs.render.shape[-2:]
        latents, added = self._latents(inputs)
        batch, views = latents.shape[:2]
        samples = rearrange(torch.cat([latents, added], dim=2), "b v c h w -> (b v) c h w")
        with self._mixed(samples.device.type):
            noise = self.network(
                samples,
                self.settings.timestep,
                encoder_hidden_states=self.prompt.expand(batch * views, -1, -1),
                cross_attention_kwargs={"views": views},
            ).sample
        noise = rearrange(noise.float(), "(b v) c h w -> b v c h w", v=views)[:, 0]
        clean = without_noise(latents[:, 0], noise, self.alpha_bar)
        return self.decode(clean)[..., :height, :width]

    @torch.no_grad()
    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h8 w8"]:
        """Scaled latents (the mean, nothing is drawn) of images in [0, 1], in float32."""
        with torch.autocast(images.device.type, enabled=False):
            return self.vae.encode(2.0 * images.float() - 1.0).latent_dist.mean * self.vae.config.scaling_factor

    def decode(self, latents: Float[Tensor, "b c h8 w8"]) -> Float[Tensor, "b 3 h w"]:
        """Undoes `encode`, in float32; the images are not clamped."""
        with torch.autocast(latents.device.type, enabled=False):
            return 0.5 * self.vae.decode(latents.float() / self.vae.config.scaling_factor).sample + 0.5

    def register_trained(self, owner: nn.Module) -> None:
        """See `Fixer.register_trained`."""
        self.requires_grad_(False)
        if self.settings.trainable == "unet":
            owner.network = self.network.requires_grad_(True)
            return
        tree = lora_tree(self.network)
        tree.conv_in = nn.Module()
        tree.conv_in.added = self.network.conv_in.added
        owner.network = tree.requires_grad_(True)

    def stored_names(self) -> list[str]:
        """Names of what was trained, and of the prompt's embedding."""
        whole = self.settings.trainable == "unet"
        network = (f"network.{n}" for n in self.network.state_dict() if whole or is_lora_name(n) or n.startswith(ADDED))
        return [*network, "prompt"]

    def save_activation_memory(self) -> None:
        """Recomputes activations of U-Net and decoder in the backward pass."""
        self.network.enable_gradient_checkpointing()
        self.vae.enable_gradient_checkpointing()

    def _latents(self, inputs: FixerInputs) -> tuple[Float[Tensor, "b v c h w"], Float[Tensor, "b v e h w"]]:
        """Latents of the render and then of the references, and the added channels, zero for the references."""
        views, trust = own_views(inputs, self.config.num_views)
        references = inputs.references[:, : self.settings.num_references]
        render, views, references = (
            padded_to(values, self.side_multiple) for values in (inputs.render, views, references)
        )
        images = torch.cat([render[:, None], references, views], dim=1)
        latents = torch.stack([self.encode(image) for image in images.unbind(1)], dim=1)  # one by one, to save memory
        latents, warped = latents.split([1 + references.shape[1], views.shape[1]], dim=1)
        phi = padded_to(noise_level(inputs.expected_sq_error, self.config.conditioning)[:, None], self.side_multiple)
        trusted = F.avg_pool2d(padded_to(trust, self.side_multiple), self.cell)
        parts = [F.avg_pool2d(phi, self.cell), F.max_pool2d(phi, self.cell), trusted]
        added = torch.cat([*parts, rearrange(warped, "b n c h w -> b (n c) h w")], dim=1)
        return latents, F.pad(added[:, None], (0, 0, 0, 0, 0, 0, 0, references.shape[1]))

    def _mixed(self, device: str) -> torch.autocast | nullcontext:
        """Computes in bf16 where weights of the network are bf16, whoever calls."""
        half = any(parameter.dtype == torch.bfloat16 for parameter in self.network.parameters())
        return torch.autocast(device, torch.bfloat16) if half else nullcontext()


def without_noise(
    latent: Float[Tensor, "b c h w"], noise: Float[Tensor, "b c h w"], alpha_bar: float
) -> Float[Tensor, "b c h w"]:
    """The clean latent x0 from a sample and the noise in it (Ho et al. 2020, eq. 15); `alpha_bar` in (0, 1]."""
    if not 0.0 < alpha_bar <= 1.0:
        raise InputError("alpha_bar", alpha_bar, "a number in (0, 1]")
    return (latent - (1.0 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5
