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
        width_quarter: The number of channels at a quarter of the image's resolution.
        width_eighth: The number of channels at an eighth, per frame.
        width_chunk: The number of channels at an eighth, for the folded frames of a chunk.
        blocks_quarter: The number of residual blocks at a quarter.
        blocks_eighth: The number of residual blocks at an eighth, per frame.
        blocks_chunk: The number of residual blocks over the folded frames of a chunk.
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
        base_dim: The number of channels at full resolution.
        dim_mult: The factor of the channels on each level (four levels halve the image three times).
        num_res_blocks: The number of residual blocks per level.
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
        latent_channels: The number of channels of the latents (16 for Wan2.1).
        tiny: The sizes of "tiny".
        wan: The sizes of "wan", and of other codecs of its class.
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
        num_layers: The number of transformer blocks.
        num_heads: The number of attention heads.
        head_dim: The number of channels per head.
        ffn_dim: The number of hidden channels of the feed-forward network.
        text_dim: The number of channels of the prompt embedding.
        freq_dim: The number of channels of the sinusoidal time embedding.
        rope_max_len: The largest number of token positions along any axis.
        eps: The epsilon of the norms.
        patch: The number of latent cells along each side of a token.
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
        init: "dit" clones the first blocks of the backbone, "vace" has the graph of the VACE adapter.
        num_blocks: The number of blocks; the public VACE adapters have 15 (1.3B) and 8 (14B).
        references: Adds cross-attention to recorded views.
        depth: Takes the inverse depth of the render as an input.
        warped: So many warped recorded views (`Window.warped`) are inputs, the best ones first.
        mix_views: Starts the generator's linear guess (`prior: render`) from a mixture of render and warped views, with
            weights per latent cell that the network gives, instead of from the render alone.
        vace_reactive: What VACE sees where pixels are to be regenerated: "grey", as its inpainting was trained, or the
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
        noise_over_error: The factor k in phi = k r / (1 + k r), where r is the expected RMS error of the render in [-1,
            1] units, less that of `certain_rms`.
        token_quantile: The quantile of the error over a token's pixels and frames that sets its phi (1 is the maximum).
            One frame of four alone is a quarter of a token, so any value above 0.75 notices it.
        marked_rms: A pixel counts in the channel "fraction above", and in VACE's mask, if its expected RMS error,
            colours in [0, 1], is above this. It is fixed by training (what is reported as regenerated is
            `EditorConfig.regenerate_rms`).
        certain_rms: Up to this expected RMS error, colours in [0, 1], phi is 0: the render is kept as it is, and with
            `sampler.sparse` it costs nothing.
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
        path: What the weights were trained for (`model.paths`); "hold" is plain Wan, with one time for all tokens.
        shift: The time shift of training and sampling; Wan2.1 uses 3 to 16, small latents need none (1).
        min_time: The smallest time at which the network is evaluated; the last step jumps from there to t = 0.
    """

    path: PathName = "hold"
    shift: float = 1.0
    min_time: float = 0.1


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank updates of linear layers.

    Attributes:
        rank: The number of columns of A and B; 0 means no update.
        alpha: The update is scaled by alpha / rank; 0 means alpha = rank.
        targets: The ends of the names of the layers that get an update; the defaults are all attention projections.
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
        model: The file, folder or hub id of Wan2.1 weights, with VACE's adapter for `branch.init: vace`; empty means
            none.
        codec: The file, folder or hub id of Wan2.1's VAE. Without it that of `model` is taken, if there is one.
        prompt: A file of `tools/encode_prompt.py`. Without it our weights file holds a trained embedding.
    """

    model: str = ""
    codec: str = ""
    prompt: str = ""

    @property
    def codec_source(self) -> str:
        """The source of the codec; empty if it lies in our weights file."""
        return self.codec or self.model


@dataclass(frozen=True)
class HeadConfig:
    """A small network in pixels after the codec (`fixers.head`): it says per pixel how far render and warped views are
    copied into the decoded clip, and what is added. It is trained on the clips of a finished generator (method "head").

    Attributes:
        num_views: The number of warped views that it may copy, whatever the branch reads; missing ones count as
            untrusted.
        channels: The width of each level of its U-Net, as in the fixer (`fixer.model.channels`).
        reach: So many frames before and after are looked at, as in the fixer (`fixer.model.reach`).
        slide_px: Render and views are copied from up to so many pixels beside, as in the fixer
            (`fixer.model.slide_px`).
    """

    num_views: int = 2
    channels: tuple[int, ...] = (32, 48, 72, 96)
    reach: int = 0
    slide_px: float = 0.0


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that fixes the generator's architecture and its meaning of time; stored with the weights.

    A field that a stored configuration lacks, because it is younger, has its default: defaults mean "as before".

    Attributes:
        codec: The video codec.
        wan: The backbone.
        branch: The context branch.
        conditioning: How EIG becomes a level of noise.
        schedule: The flow time and the path.
        pretrained: The public weights below ours.
        lora: The low-rank adapters of the backbone.
        attention: "full" is as in Wan; with "prefix" tokens with phi = 0 do not attend to the others, so that
            `sampler.sparse` is exact.
        prompt_tokens: The length of the one cached prompt embedding.
        prior: With "render" the network predicts what remains after the best linear guess from the render and its
            calibrated error (`paths.render_prior`); with "none" its output is Wan's velocity.
        signal_std: The standard deviation of video colours in [-1, 1], which brings expected errors to latent units.
        head: If given, render and warped views are copied in pixels after the codec; None: the clip is what the codec
            decodes.
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
    head: HeadConfig | None = None

    @property
    def spec(self) -> BackboneSpec:
        """The way in which this generator cuts a clip into latent cells and tokens."""
        codec = codec_class(self.codec.name)
        return BackboneSpec(self.codec.latent_channels, self.wan.patch, codec.stride, codec.chunk_frames)
