"""Generators to plan with: known sizes, counted parameters, and modules whose tensors have no data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from faithfusion.utils.errors import InputError
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.model.config import (
    BranchConfig,
    CodecConfig,
    GeneratorConfig,
    LoraConfig,
    ScheduleConfig,
    WanConfig,
)
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.lora import is_lora_name
from faithfusion.video.model.memory import cast_weights
from faithfusion.video.model.memory_config import MemoryConfig
from faithfusion.video.model.reference_attention import ReferenceViews
from faithfusion.video.model.spec import BackboneSpec
from faithfusion.video.weights.generator_file import load_generator
from faithfusion.video.weights.open_generator import SHIPPED_WEIGHTS, weights_path

WAN_TEXT_DIM, WAN_TEXT_TOKENS = 4096, 512
SMALL = WanConfig(num_layers=30, num_heads=12, head_dim=128, ffn_dim=8960, text_dim=WAN_TEXT_DIM)
LARGE = WanConfig(num_layers=40, num_heads=40, head_dim=128, ffn_dim=13824, text_dim=WAN_TEXT_DIM)
MODELS = {
    "1.3b": (SMALL, BranchConfig("dit", 2)),
    "14b": (LARGE, BranchConfig("dit", 2)),
    "vace-1.3b": (SMALL, BranchConfig("vace", 15)),
    "vace-14b": (LARGE, BranchConfig("vace", 8)),
}


@dataclass(frozen=True)
class ClipSize:
    """A clip as the generator gets it, in pixels.

    Attributes:
        frames: 4k + 1.
        height: a multiple of 16.
        width: a multiple of 16.
        spec: what the generator makes of a clip; 4 and 16 above are Wan2.1's.
    """

    frames: int = 49
    height: int = 480
    width: int = 832
    spec: BackboneSpec = field(default_factory=BackboneSpec)

    def __post_init__(self) -> None:
        self.spec.latent_size(self.frames, self.height, self.width)

    @property
    def latent(self) -> tuple[int, int, int]:
        """Frames, rows and columns of the latents."""
        return self.spec.latent_size(self.frames, self.height, self.width)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Frames, rows and columns of the tokens."""
        frames, rows, columns = self.latent
        return frames, rows // self.spec.patch, columns // self.spec.patch

    @property
    def tokens(self) -> int:
        """Tokens of the transformer."""
        frames, rows, columns = self.grid
        return frames * rows * columns


def known_model(name: str) -> GeneratorConfig:
    """The architecture of a model in MODELS, or of the one that is shipped. Raises InputError for another name."""
    if name == SHIPPED_WEIGHTS:
        return load_generator(weights_path(SHIPPED_WEIGHTS))[0].config
    if name not in MODELS:
        raise InputError("model", name, f"one of {', '.join([*MODELS, SHIPPED_WEIGHTS])}")
    wan, branch = MODELS[name]
    return GeneratorConfig(
        codec=CodecConfig(name="wan", latent_channels=16),
        wan=wan,
        branch=branch,
        schedule=ScheduleConfig(path="bridge"),
        prompt_tokens=WAN_TEXT_TOKENS,
        prior="none",
    )


def with_lora(config: GeneratorConfig, rank: int) -> GeneratorConfig:
    """The same with low-rank updates of this rank on the backbone's attention."""
    return dataclasses.replace(config, lora=LoraConfig(rank=rank))


def count_parameters(generator: Generator) -> dict[str, int]:
    """Parameters by part; the generator may lie on the meta device."""
    lora = sum(value.numel() for name, value in generator.backbone.named_parameters() if is_lora_name(name))
    return {
        "backbone": _count(generator.backbone) - lora,
        "branch": _count(generator.branch),
        "LoRA": lora,
        "VAE": _count(generator.codec),
        "head": 0 if generator.head is None else _count(generator.head),
        "text encoder": text_encoder_parameters() if generator.config.wan.text_dim == WAN_TEXT_DIM else 0,
    }


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def text_encoder_parameters(
    layers: int = 24, dim: int = 4096, inner: int = 4096, ffn: int = 10240, heads: int = 64, vocabulary: int = 256384
) -> int:
    """Counts the parameters of a UMT5 encoder, by default UMT5-XXL: projections, gated feed-forward network, 32
    distances per head, and norms."""
    layer = 4 * dim * inner + 3 * dim * ffn + 32 * heads + 2 * dim
    return layers * layer + dim + vocabulary * dim


def meta_generator(config: GeneratorConfig) -> Generator:
    """The generator on the meta device: every module and no memory."""
    with torch.device("meta"):
        return Generator(config).eval().requires_grad_(False)


def fake_generator(config: GeneratorConfig, memory: MemoryConfig, mode: FakeTensorMode) -> Generator:
    """The generator with tensors of `mode`, in the precisions it has on a CUDA card."""
    generator = meta_generator(config)
    cast_weights(generator, memory, torch.device("cuda"))
    fill(generator, mode)
    return generator


def fill(module: nn.Module, mode: FakeTensorMode) -> None:
    """Replaces the meta tensors of a module by tensors of `mode` on the CPU."""
    with mode:
        for part in module.modules():
            for name, parameter in list(part.named_parameters(recurse=False)):
                part._parameters[name] = nn.Parameter(_cpu(parameter), requires_grad=parameter.requires_grad)
            for name, buffer in list(part.named_buffers(recurse=False)):
                part._buffers[name] = _cpu(buffer)


def _cpu(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, device="cpu")


def empty_conditions(
    config: GeneratorConfig,
    size: ClipSize,
    batch: int,
    references: int,
    active: float,
    place: AbstractContextManager[object],
) -> LatentConditions:
    """Conditions of `batch` windows in float32, unset; `place` is entered where they are made: a FakeTensorMode or a
    device. phi is real and on the CPU, since what is computed depends on its values: 1 for the first `active` of the
    tokens, else 0."""
    is_active = torch.arange(size.tokens) < round(active * size.tokens)
    phi = is_active.float().reshape(1, *size.grid).repeat(batch, 1, 1, 1)

    def grid(channels: int) -> Tensor:
        return torch.empty(batch, channels, *size.latent)

    with place:
        channels = config.codec.latent_channels
        return LatentConditions(
            render_latent=grid(channels),
            eig_block=grid(config.spec.eig_channels),
            phi=phi,
            vace=grid(config.spec.vace_channels) if config.branch.init == "vace" else None,
            inverse_depth=grid(1) if config.branch.depth else None,
            warped=grid(config.branch.warped * config.spec.warped_channels) if config.branch.warped else None,
            references=_empty_references(channels, size, batch, references) if config.branch.references else None,
        )


def _empty_references(channels: int, size: ClipSize, batch: int, count: int) -> ReferenceViews:
    _, rows, columns = size.latent
    frames, *tokens = size.grid
    return ReferenceViews(
        latent=torch.empty(batch, count, channels, rows, columns),
        rays=torch.empty(batch, count, 6, *tokens),
        token_rays=torch.empty(batch, 6, frames, *tokens),
    )


def tensors_of(value: object) -> list[Tensor]:
    """All tensors in a dataclass, however deep."""
    if isinstance(value, Tensor):
        return [value]
    if not dataclasses.is_dataclass(value):
        return []
    return [tensor for field in dataclasses.fields(value) for tensor in tensors_of(getattr(value, field.name))]


def num_bytes(tensors: list[Tensor], where: Callable[[Tensor], bool] = lambda _: True) -> int:
    """Bytes of those of the tensors for which `where` holds."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if where(tensor))
