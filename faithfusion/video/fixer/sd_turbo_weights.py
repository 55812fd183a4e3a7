"""Public weights of SD-Turbo's class for the fixer: U-Net, VAE, scheduler, text encoder, in diffusers' layout.

Only safetensors are read; sizes come from the config.json files and names and shapes are checked against them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra
from faithfusion.video.model.fixers.fixer_config import SdTurboConfig
from faithfusion.video.weights.pretrained import fingerprint
from faithfusion.video.weights.weight_files import Part, WeightFiles, open_source, read_json, read_shapes, read_tensors

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel

PROMPT_TOKENS = 77  # CLIP's length; SD pads and cuts every prompt to it
REFUSED = ("addition_embed_type", "class_embed_type", "encoder_hid_dim_type", "time_cond_proj_dim")
"""Settings of U-Nets that want more than image, time and prompt."""
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class PublicParts:
    """The public parts in float32 on the CPU. `identities`: what tells them from all others, by part."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    alpha_bar: float  # the scheduler's, at the configured time
    prompt: Float[Tensor, "p e"] | None
    identities: dict[str, str]


def open_sd_turbo(config: SdTurboConfig, *, with_prompt: bool = True) -> PublicParts:
    """Opens the public parts; the text encoder only `with_prompt`, and frees it again.

    Raises InputError for a source that is not there or no folder in diffusers' layout, files that are no safetensors,
    weights that do not fit their config.json, and models that want more inputs than SD's.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel

    source = config.pretrained
    unet_files, vae_files = _open(source, "unet"), _open(source, "image_vae")
    extra = [name for name in REFUSED if unet_files.config.get(name)]
    if extra:
        raise InputError(unet_files.where, f"a U-Net with {', '.join(extra)}", "one of SD-Turbo's class")
    shift = vae_files.config.get("shift_factor")
    if shift:
        raise InputError(vae_files.where, f"shift_factor {shift}", "a VAE of SD-Turbo's class, without")
    alpha_bar = scheduler_alpha_bar(_folder(unet_files) / "scheduler" / "scheduler_config.json", config.timestep)
    unet, vae = _read(UNet2DConditionModel, unet_files), _read(AutoencoderKL, vae_files)
    latent, width = vae.config.latent_channels, unet.config.cross_attention_dim
    if (unet.config.in_channels, unet.config.out_channels) != (latent, latent) or not isinstance(width, int):
        found = f"U-Net from {unet.config.in_channels} to {unet.config.out_channels} channels, prompt width {width}"
        raise InputError(unet_files.where, found, f"{latent} latent channels as the VAE, and one prompt width")
    identities = {"unet": fingerprint(unet.state_dict()), "vae": fingerprint(vae.state_dict())}
    identities["alpha_bar"] = f"{alpha_bar:.7f}"
    prompt = encode_prompt(source, config.prompt) if with_prompt else None
    if prompt is not None and prompt.shape[1] != width:
        raise InputError(source, f"a prompt embedding of width {prompt.shape[1]}", f"{width}, as the U-Net")
    return PublicParts(unet, vae, alpha_bar, prompt, identities)


def scheduler_alpha_bar(path: Path, timestep: int) -> float:
    """abar_t = prod over s <= t of (1 - beta_s), from diffusers' scheduler as configured in the file.

    Raises InputError for a missing file, a time past its last and a model that does not predict noise.
    """
    from diffusers import DDPMScheduler

    settings = read_json(path)
    if settings.get("prediction_type", "epsilon") != "epsilon":
        raise InputError(path, f"prediction_type {settings['prediction_type']}", "epsilon, as SD-Turbo's")
    known = {"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"}
    known |= {"rescale_betas_zero_snr"}
    scheduler = DDPMScheduler(**{name: value for name, value in settings.items() if name in known})
    if timestep >= len(scheduler.alphas_cumprod):
        raise InputError("fixer.sd_turbo.timestep", timestep, f"below {len(scheduler.alphas_cumprod)} ({path})")
    return float(scheduler.alphas_cumprod[timestep])


@torch.no_grad()
def encode_prompt(source: str, text: str) -> Float[Tensor, "p e"]:
    """The last hidden states of CLIP's text encoder, [77, E] in float32, padded as SD does.

    Raises InputError for a source without text encoder or tokenizer.
    """
    require_extra("video", "transformers")
    from transformers import CLIPTextModel, CLIPTokenizer

    weights = _open(source, "clip_text")
    tokenizer_folder = _folder(weights) / "tokenizer"
    if not tokenizer_folder.is_dir():
        raise InputError(_folder(weights), "no tokenizer", "a folder tokenizer/ beside text_encoder/")
    try:
        tokenizer = CLIPTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
        options = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32}
        encoder = CLIPTextModel.from_pretrained(weights.files[0].parent, **options).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(_folder(weights), f"cannot be read ({_line(error)})", "CLIP's text encoder") from None
    padding = {"padding": "max_length", "max_length": PROMPT_TOKENS, "truncation": True}
    tokens = tokenizer([text], **padding, return_tensors="pt").input_ids
    return encoder(tokens).last_hidden_state[0].float()


def _open(source: str, part: Part) -> WeightFiles:
    if Path(source).expanduser().is_file():
        raise InputError(source, "a single file", "a folder with unet/, vae/ and scheduler/, or a hub id")
    weights = open_source(source, part)
    if weights.where.suffix not in ("", ".safetensors") and weights.where.is_file():
        raise InputError(weights.where, f"a {weights.where.suffix} file", "safetensors")
    if not weights.config:
        raise InputError(weights.files[0].parent, "no config.json", "diffusers' layout")
    return weights


def _folder(weights: WeightFiles) -> Path:
    """The model's folder, around that of the part."""
    return weights.files[0].parent.parent


def _read(model_class: type[M], weights: WeightFiles) -> M:
    """A model of diffusers with the weights of the files, in float32, in evaluation mode."""
    settings: dict[str, Any] = weights.config
    try:
        with torch.device("meta"):
            model = model_class.from_config(settings)
    except (ValueError, TypeError, KeyError) as error:
        found = f"config.json is refused ({_line(error)})"
        raise InputError(weights.where, found, f"a {model_class.__name__}") from None
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = read_shapes(weights)
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        facts = f"{wrong[0]} {found.get(wrong[0], 'missing')}"
        raise InputError(weights.where, facts, f"{wanted.get(wrong[0], 'no such tensor')} as its config.json says")
    model.load_state_dict(read_tensors(weights, {name: name for name in wanted}, torch.float32), assign=True)
    return model.eval()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
