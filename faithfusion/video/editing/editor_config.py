"""Settings of editing a clip, light to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from faithfusion.clips.clip_config import CHUNK_FRAMES
from faithfusion.utils.errors import InputError
from faithfusion.video.model.config import PathName
from faithfusion.video.model.memory_config import MemoryConfig


@dataclass(frozen=True)
class SamplerConfig:
    """The sampler.

    Attributes:
        path: The path of the latents (`video.model.paths`). Without it the one is taken that the weights were trained
            for; "hold" works with any weights.
        steps: The network is evaluated so often, at noise levels from the clip's largest phi down.
        sparse: Computes tokens with phi = 0 once and keeps their keys and values (paths bridge and per_token). This is
            exact for `attention: prefix`; else it is an approximation, in which they do not look at the others.
        renoise: Goes to the predicted clean latents and takes new noise at every step, as distilled few-step weights
            were trained.
        temperature: The standard deviation of the noise that the latents start from: 1 draws samples, as flow matching
            trains; 0 starts from the mean, and one step from there is the network's best guess, without any noise.
        guidance: The strength of classifier-free guidance towards the prompt and away from the negative one of the
            prompt file, at twice the cost; 1 is none.
    """

    path: PathName | None = None
    steps: int = 4
    sparse: bool = False
    renoise: bool = False
    temperature: float = 1.0
    guidance: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError("sampler.steps", self.steps, "at least 1")
        if not 0.0 <= self.temperature <= 1.0:
            raise InputError("sampler.temperature", self.temperature, "0 to 1")
        if self.sparse and self.path == "hold":
            raise InputError("sampler.sparse", True, "path bridge or per_token: under hold every token's time changes")


@dataclass(frozen=True)
class CompositeConfig:
    """Where the render is left exactly as it is.

    Attributes:
        faithful_share: The share of a clip's pixels that are the render's own, bit for bit: those it is known best in,
            however badly that is; 0 leaves only what is known to an 8-bit step.
    """

    faithful_share: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 <= self.faithful_share < 1.0:
            raise InputError("composite.faithful_share", self.faithful_share, "0 to less than 1")


DEFAULT_COMPOSITE = CompositeConfig()

EditorEntry = dict[str, Any]
"""An editor in a configuration: its `kind` (`video.editors.registry`) and the options of that kind."""


@dataclass(frozen=True)
class EditorConfig:
    """What all editors of a run share.

    Attributes:
        composite: Where the render is left as it is.
        regenerate_rms: A pixel counts as regenerated in reports if its expected RMS error, colours in [0, 1], is above
            this.
    """

    composite: CompositeConfig = field(default_factory=CompositeConfig)
    regenerate_rms: float = 0.04


@dataclass(frozen=True)
class VideoEditorConfig:
    """How the video model generates a clip.

    Attributes:
        sampler: How the latents are sampled; by default the weights choose.
        window_frames: So many frames are generated at once, 4k + 1 of them; longer clips are chained.
        overlap_frames: So many frames of the previous window enter the next as known, 4k + 1 of them.
        num_references: A window may look at so many recorded views, the nearest ones (weights with
            `branch.references`).
        keep_detail: Adds to the edit what the codec loses of the render and of the warped views, of each as far as the
            edit agrees with it (`video.editing.detail`). Weights with a head (`generator.head`) do so themselves.
        memory: Where the weights are while a clip is generated.
    """

    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    window_frames: int = 17
    overlap_frames: int = 1
    num_references: int = 3
    keep_detail: bool = True
    memory: MemoryConfig = field(default_factory=MemoryConfig)

    def __post_init__(self) -> None:
        for name, least in (("window_frames", 1 + CHUNK_FRAMES), ("overlap_frames", 1)):
            if getattr(self, name) < least or getattr(self, name) % CHUNK_FRAMES != 1:
                expected = f"4k + 1 frames ({least}, {least + CHUNK_FRAMES}, ..., 49, ...)"
                raise InputError(f"editor.{name}", getattr(self, name), expected)
        if self.overlap_frames >= self.window_frames:
            raise InputError("editor.overlap_frames", self.overlap_frames, f"less than a window's {self.window_frames}")


@dataclass(frozen=True)
class FixerEditorConfig:
    """How a clip is fixed.

    Attributes:
        frames_at_once: So many frames are evaluated at once, and where they see each other some before and after. This
            matters for memory, and at the ends for what is seen beyond those.
    """

    frames_at_once: int = 8

    def __post_init__(self) -> None:
        if self.frames_at_once < 1:
            raise InputError("fixer.frames_at_once", self.frames_at_once, "at least 1")


def require_kinds(where: str, entries: Sequence[EditorEntry]) -> None:
    """Raises InputError for no editor at all, and for an entry without `kind`; what the kind is, the registry says."""
    if not entries or not all(isinstance(entry.get("kind"), str) for entry in entries):
        raise InputError(where, list(entries), "at least one entry with a kind, such as {kind: wan}, {kind: fixer}")


def require_neighbours(num_frames: int) -> None:
    """Raises InputError for a negative number of frames to average an edit over (`video.editing.steady`)."""
    if num_frames < 0:
        raise InputError("editors.steady", num_frames, "0 or a number of frames")
