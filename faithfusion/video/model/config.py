"""Everything that fixes a generator: the sizes of its networks, its codec, its path and what EIG means to it.

These classes are stored with the weights. A field that a stored configuration lacks, because it is younger than the
file, takes its default, so the default of a new field must mean "as before".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from faithfusion.utils.errors import InputError
from faithfusion.video.model.codecs.registry import codec_class, require_codec_name
from faithfusion.video.model.spec import BackboneSpec


@dataclass(frozen=True)
class TinyVaeConfig:
    """Sizes of `TinyVae`.

    Attributes:
        width_quarter: channels at a quarter of the image resolution.
        width_eighth: channels at an eighth, per frame.
        width_chunk: channels at an eighth, for the folded frames of a chunk.
        blocks_quarter: residual blocks at a quarter.
        blocks_eighth: residual blocks at an eighth, per frame.
        blocks_chunk: residual blocks over the four folded frames of a chunk.
    """

    width_quarter: int = 64
    width_eighth: int = 96
    width_chunk: int = 128
    blocks_quarter: int = 2
    blocks_eighth: int = 1
    blocks_chunk: int = 1


@dataclass(frozen=True)
class WanVaeConfig:
    """Sizes of Wan's VAE; the defaults are the published Wan2.1 VAE.

    Attributes:
        base_dim: channels at full resolution.
        dim_mult: channel factors per level (three halvings in space for four levels).
        num_res_blocks: residual blocks per level.
    """

    base_dim: int = 96
    dim_mult: tuple[int, int, int, int] = (1, 2, 4, 4)
    num_res_blocks: int = 2


@dataclass(frozen=True)
class CodecConfig:
    """The choice of a codec, and its size.

    Attributes:
        name: "tiny" (ours, cheap on a CPU), "wan" (diffusers' AutoencoderKLWan), or `package.module:Class` of another
            one (`video.model.codecs.registry`).
        latent_channels: channels of the latents (16 for Wan2.1).
        tiny: sizes used by "tiny".
        wan: sizes used by "wan", and by other codecs of its class.
    """

    name: str = "tiny"
    latent_channels: int = 32
    tiny: TinyVaeConfig = field(default_factory=TinyVaeConfig)
    wan: WanVaeConfig = field(default_factory=WanVaeConfig)

    def __post_init__(self) -> None:
        require_codec_name(self.name)


@dataclass(frozen=True)
class WanConfig:
    """Sizes of the DiT; the defaults are a small one. Wan2.1-1.3B: 30 layers, 12 heads of 128, ffn 8960, text 4096.

    Attributes:
        num_layers: transformer blocks.
        num_heads: attention heads.
        head_dim: channels per head.
        ffn_dim: hidden channels of the feed-forward network.
        text_dim: channels of the prompt embedding.
        freq_dim: channels of the sinusoidal time embedding.
        rope_max_len: largest number of token positions along any axis.
        eps: epsilon of the norms.
        patch: latent cells along each side of a token.
    """

    num_layers: int = 6
    num_heads: int = 8
    head_dim: int = 32
    ffn_dim: int = 768
    text_dim: int = 64
    freq_dim: int = 256
    rope_max_len: int = 1024
    eps: float = 1e-6
    patch: int = 2

    @property
    def dim(self) -> int:
        """Channels of a token."""
        return self.num_heads * self.head_dim


@dataclass(frozen=True)
class BranchConfig:
    """The context branch.

    Attributes:
        init: "dit": clones of the backbone's first blocks; "vace": the graph of the VACE adapter.
        num_blocks: blocks; the public VACE adapters have 15 (1.3B) and 8 (14B).
        references: cross-attention to recorded views.
        depth: the render's inverse depth as an input.
        warped: how many warped recorded views (`Window.warped`) are inputs, the best first.
        mix_views: the generator's linear guess (`prior: render`) starts from a mixture of render and warped views, with
            weights per latent cell that the network gives, instead of from the render alone.
        vace_reactive: what VACE sees where pixels are to be regenerated: "grey", as its inpainting was trained, or the
            "render".
    """

    init: Literal["dit", "vace"] = "dit"
    num_blocks: int = 2
    references: bool = False
    depth: bool = False
    warped: int = 0
    mix_views: bool = False
    vace_reactive: Literal["grey", "render"] = "grey"

    def __post_init__(self) -> None:
        if self.num_blocks < 1:
            raise InputError("branch.num_blocks", self.num_blocks, "at least 1")
        if self.warped < 0:
            raise InputError("branch.warped", self.warped, "0 (none) or a number of views")
        if self.mix_views and not self.warped:
            raise InputError("branch.mix_views", True, "branch.warped of at least 1: views to mix")


@dataclass(frozen=True)
class ConditioningConfig:
    """The way from calibrated error to noise.

    Attributes:
        noise_over_error: k in phi = k r / (1 + k r), r the expected RMS error of the render in [-1, 1] units, less
            that of `certain_rms`.
        token_quantile: quantile of the error over a token's pixels and frames that sets its phi (1 = maximum); one
            frame of four alone is a quarter of a token, so any value above 0.75 notices it.
        marked_rms: expected RMS error, colours in [0, 1], above which a pixel counts in the channel "fraction above";
            fixed by training (what is reported as regenerated is `EditorConfig.regenerate_rms`). VACE's mask too.
        certain_rms: expected RMS error, colours in [0, 1], up to which phi is 0: the render is kept as it is, and with
            `sampler.sparse` costs nothing.
    """

    noise_over_error: float = 5.0
    token_quantile: float = 0.95
    marked_rms: float = 0.1
    certain_rms: float = 0.0


PathName = Literal["hold", "bridge", "per_token"]


@dataclass(frozen=True)
class ScheduleConfig:
    """Time schedule, stored with the weights: a model is sampled with the shift it was trained with.

    Attributes:
        path: what the weights were trained for (`model.paths`): "hold" is plain Wan, with one time for all tokens.
        shift: time shift of training and sampling; Wan2.1 uses 3 to 16, small latents need none (1).
        min_time: smallest time at which the network is evaluated; the last step jumps from there to t = 0.
    """

    path: PathName = "hold"
    shift: float = 1.0
    min_time: float = 0.1


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank updates of linear layers.

    Attributes:
        rank: columns of A and B; 0 = no update.
        alpha: the update is scaled by alpha / rank; 0 means alpha = rank.
        targets: ends of the names of the layers that get one; the defaults are all attention projections.
    """

    rank: int = 0
    alpha: float = 0.0
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")

    def __post_init__(self) -> None:
        if self.rank < 0 or self.alpha < 0 or not self.targets:
            found = f"rank {self.rank}, alpha {self.alpha}, targets {list(self.targets)}"
            raise InputError("lora", found, "rank and alpha of at least 0 and at least one target")


@dataclass(frozen=True)
class PretrainedConfig:
    """Public weights that a generator is built on. They stay where they are; our weights files name them.

    Attributes:
        model: file, folder or hub id of Wan2.1 weights, with VACE's adapter for `branch.init: vace`; empty: none.
        codec: file, folder or hub id of Wan2.1's VAE; empty: the VAE of `model`, if given.
        prompt: file of `tools/encode_prompt.py`; empty: a trained embedding in our weights file.
    """

    model: str = ""
    codec: str = ""
    prompt: str = ""

    @property
    def codec_source(self) -> str:
        """The source of the codec; empty if it lies in our weights file."""
        return self.codec or self.model


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that fixes the generator's architecture and its meaning of time; stored with the weights.

    A field that a stored configuration lacks, because it is younger, has its default: defaults mean "as before".

    Attributes:
        codec: video codec.
        wan: backbone.
        branch: context branch.
        conditioning: EIG to noise level.
        schedule: flow time and path.
        pretrained: public weights below ours.
        lora: low-rank adapters on the backbone.
        attention: "full" as in Wan; "prefix": tokens with phi = 0 do not attend to the others, so that
            `sampler.sparse` is exact.
        prompt_tokens: length of the one cached prompt embedding.
        prior: "render": the network predicts what remains after the best linear guess from the render and its
            calibrated error (`paths.render_prior`); "none": the network's output is Wan's velocity.
        signal_std: standard deviation of video colours in [-1, 1], brings expected errors to latent units.
    """

    codec: CodecConfig = field(default_factory=CodecConfig)
    wan: WanConfig = field(default_factory=WanConfig)
    branch: BranchConfig = field(default_factory=BranchConfig)
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    pretrained: PretrainedConfig = field(default_factory=PretrainedConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    attention: Literal["full", "prefix"] = "full"
    prompt_tokens: int = 8
    prior: Literal["render", "none"] = "render"
    signal_std: float = 0.5

    @property
    def spec(self) -> BackboneSpec:
        """The way in which this generator cuts a clip into latent cells and tokens."""
        codec = codec_class(self.codec.name)
        return BackboneSpec(self.codec.latent_channels, self.wan.patch, codec.stride, codec.chunk_frames)
