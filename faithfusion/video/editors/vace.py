"""Plain VACE inpainting through the pipelines of others, with public weights that the user names, as editors of a
run."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra
from faithfusion.utils.plain import config_hash
from faithfusion.video.editing.editor_config import CHUNK_FRAMES, CompositeConfig

if TYPE_CHECKING:  # torch and diffusers take seconds, and a page of help wants the options only
    from faithfusion.video.editing.editor import ClipFacts
    from faithfusion.video.editing.plain_vace import Paint, PlainVaceEditor, Sampling

PROMPT = "A video from a camera on a moving car, driving along a city street in daylight."
OFFICIAL_PARTS = ("Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth")
TOKENIZER = Path("google") / "umt5-xxl"
TELLING_BYTES = 1 << 16


@dataclass(frozen=True)
class VaceOptions:
    """What both ways to run VACE have in common.

    Attributes:
        weights: The folder of the public weights.
        prompt: The text encoder is given this.
        negative_prompt: The guidance leads away from this.
        steps: The number of steps of the sampler.
        guidance: The strength of classifier-free guidance; 1 does without.
        window_frames: So many frames are painted at once, 4k + 1 of them; the public models are trained with 81.
        overlap_frames: So many frames of a window enter the next one as they are, 4k + 1 of them.
    """

    weights: str = ""
    prompt: str = PROMPT
    negative_prompt: str = ""
    steps: int = 50
    guidance: float = 5.0
    window_frames: int = 81
    overlap_frames: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError("editors, vace: steps", self.steps, "at least 1")
        lengths = (self.window_frames, self.overlap_frames)
        if any(length % CHUNK_FRAMES != 1 for length in lengths) or not 0 < self.overlap_frames < self.window_frames:
            found = f"window_frames: {self.window_frames}, overlap_frames: {self.overlap_frames}"
            raise InputError("editors, vace", found, "4k + 1 frames each, fewer in the overlap")

    @property
    def sampling(self) -> Sampling:
        """How the pipeline samples."""
        from faithfusion.video.editing.plain_vace import Sampling

        return Sampling(self.prompt, self.negative_prompt, self.steps, self.guidance)

    def require_parts(self, *parts: str | Path) -> Path:
        """Returns the folder of the weights. Raises InputError if it or a part of it is missing."""
        root = Path(self.weights)
        for path in (root, *(root / part for part in parts)):
            if not self.weights or not path.exists():
                raise InputError("editors, vace: weights", f"no {path}", "the folder of the public weights")
        return root


@dataclass(frozen=True)
class DiffusersVaceOptions(VaceOptions):
    """The options of an entry `kind: vace_diffusers`: `WanVACEPipeline` of diffusers, with a folder in its layout."""

    def open(self, device: str) -> OpenedVace:
        """Reads the weights onto the device. Raises InputError for a folder that is missing or holds something else."""
        require_extra("video", "transformers", "ftfy")
        root = self.require_parts("model_index.json", "transformer", "vae", "text_encoder", "tokenizer", "scheduler")
        from diffusers import WanVACEPipeline

        from faithfusion.video.editing.plain_vace import paint_with_diffusers

        try:
            pipeline = WanVACEPipeline.from_pretrained(root, torch_dtype=_precision(device), local_files_only=True)
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise _foreign(root, error) from None
        pipeline.set_progress_bar_config(disable=True)
        return OpenedVace(self, paint_with_diffusers(pipeline.to(device), self.sampling), _weights_key(root))


@dataclass(frozen=True)
class DiffsynthVaceOptions(VaceOptions):
    """The options of an entry `kind: vace_diffsynth`: `WanVideoPipeline` of DiffSynth-Studio, with a folder in Wan's
    own layout, such as that of Wan2.1-VACE-1.3B."""

    def open(self, device: str) -> OpenedVace:
        """Reads the weights onto the device. Raises InputError for a folder that is missing or holds something else."""
        require_extra("diffsynth", "diffsynth")
        root = self.require_parts(*OFFICIAL_PARTS, TOKENIZER)
        backbone = sorted(str(path) for path in root.glob("diffusion_pytorch_model*.safetensors"))
        if not backbone:
            raise InputError(root, "no diffusion_pytorch_model*.safetensors", "the backbone of VACE")
        from diffsynth.core import ModelConfig
        from diffsynth.pipelines.wan_video import WanVideoPipeline

        from faithfusion.video.editing.plain_vace import paint_with_diffsynth

        files = [ModelConfig(path=path) for path in (backbone, *(str(root / part) for part in OFFICIAL_PARTS))]
        try:
            pipeline = WanVideoPipeline.from_pretrained(
                torch_dtype=_precision(device),
                device=device,
                model_configs=files,
                tokenizer_config=ModelConfig(path=str(root / TOKENIZER)),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise _foreign(root, error) from None
        if None in (pipeline.dit, pipeline.vace, pipeline.vae, pipeline.text_encoder):
            raise InputError(root, "not all parts of VACE", "backbone with VACE's blocks, codec and text encoder")
        return OpenedVace(self, paint_with_diffsynth(pipeline, self.sampling), _weights_key(root))


@dataclass(frozen=True)
class OpenedVace:
    """A pipeline on its device."""

    options: VaceOptions
    paint: Paint
    weights_key: str

    @property
    def identity(self) -> str:
        """What tells these weights and options from all others, wherever the weights lie."""
        plain = dataclasses.replace(self.options, weights="")
        return config_hash(self.weights_key, type(self.options).__name__, plain)

    def check(self, clip: ClipFacts) -> None:
        """Raises InputError without recorded views: they say what has been seen."""
        if clip.num_views < 1:
            raise InputError("warp.num_views", clip.num_views, "at least 1: the mask is what no recorded view shows")

    def editor(self, fusing: CompositeConfig, seed: int = 0, before: Sequence[str] = ()) -> PlainVaceEditor:
        """Returns the editor. Its mask says where the render stays; neither EIG nor an error profile is asked."""
        from faithfusion.video.editing.plain_vace import PlainVaceEditor

        return PlainVaceEditor(self.paint, self.options.window_frames, self.options.overlap_frames, seed)


def _precision(device: str) -> object:
    import torch

    return torch.float32 if device == "cpu" else torch.bfloat16


def _foreign(root: Path, error: Exception) -> InputError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return InputError(root, f"cannot be read ({reason[0]})", "the public weights of Wan2.1-VACE")


def _weights_key(root: Path) -> str:
    """Changes with the names and sizes of the files and with the beginning of each, where the headers are."""
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest.update(f"{path.relative_to(root)} {path.stat().st_size}".encode())
            digest.update(file.read(TELLING_BYTES))
    return digest.hexdigest()[:16]
