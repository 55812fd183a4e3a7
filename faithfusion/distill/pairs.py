"""Training pairs from procedural streets: a short fit, its render and EIG at shifted lanes, and the true clip there."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import torch

from faithfusion.clips.store import write_shard
from faithfusion.clips.windows import cut_windows
from faithfusion.config import to_plain
from faithfusion.data.drivestudio import read_clip
from faithfusion.data.splits import SplitConfig, split_clip
from faithfusion.data.street.config import StreetConfig
from faithfusion.data.street.truth import load_truth
from faithfusion.data.street.writer import make_street
from faithfusion.distill.assess import assess_scene, shifted_window
from faithfusion.distill.fit import FitConfig, fit_scene
from faithfusion.eig.config import EigConfig
from faithfusion.scene.rig import clip_as_fitted
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator


@dataclass(frozen=True)
class PairsConfig:
    """What pairs are made.

    Attributes:
        out: folder of the shards, one per street.
        first_seed: seed of the first street.
        num_streets: how many streets, of consecutive seeds.
        max_shift_m: shifts are drawn evenly from both sides up to this, metres.
        num_shifts: shifted clips per street.
        fit_steps: fewest and most steps of the fit: pairs of varied quality.
        window_frames: frames of a window, 4k + 1.
        overlap_frames: frames two windows share, 4k + 1.
        split: see `refine_sequence`.
        posterior_stride: see `refine_sequence`.
        street: streets; seed and shifts are set per street.
        fit: fits; the number of steps is set per street.
        eig: expected information gain.
    """

    out: str = "output/pairs"
    first_seed: int = 1000
    num_streets: int = 16
    max_shift_m: float = 3.5
    num_shifts: int = 2
    fit_steps: tuple[int, int] = (250, 600)
    window_frames: int = 17
    overlap_frames: int = 1
    split: SplitConfig = field(default_factory=SplitConfig)
    posterior_stride: int = 2
    street: StreetConfig = field(default_factory=lambda: StreetConfig(num_frames=33))
    fit: FitConfig = field(default_factory=FitConfig)
    eig: EigConfig = field(default_factory=EigConfig)

    def __post_init__(self) -> None:
        if self.posterior_stride < 1:
            raise InputError("posterior_stride", self.posterior_stride, "at least 1")


def make_street_shard(seed: int, config: PairsConfig, workspace: Path) -> Path:
    """Writes the shard of one street (its drive lies in `workspace`) and returns its path; an existing one stays."""
    path = Path(config.out) / f"street_{seed:04d}.safetensors"
    if path.is_file():
        return path
    random = make_generator(seed, "pairs")
    magnitudes = config.max_shift_m * (0.25 + 0.75 * torch.rand(config.num_shifts, generator=random))
    sides = torch.tensor([1.0, -1.0]).repeat(config.num_shifts)[: config.num_shifts]
    shifts_m = tuple(round(float(shift), 2) for shift in magnitudes * sides)
    low, high = config.fit_steps
    steps = int(torch.randint(low, high + 1, (), generator=random))
    street = dataclasses.replace(config.street, seed=seed, shifts_m=shifts_m)
    drive = workspace / f"street_{seed:04d}"
    make_street(street, drive)
    clip = read_clip(drive)
    split = split_clip(clip, config.split)
    scene, _ = fit_scene(
        clip, split.train, dataclasses.replace(config.fit, steps=steps, half_resolution_steps=steps // 2)
    )
    clip = clip_as_fitted(clip, scene)
    split = split_clip(clip, config.split)
    assessment = assess_scene(scene, clip, split.train[:: config.posterior_stride], split.calibration, config.eig)
    windows = []
    for shift_m in shifts_m:
        camera_name = config.street.truth_cameras[0]
        window = shifted_window(scene, assessment, clip, camera_name, shift_m, config.eig)
        truth = [load_truth(drive, shift_m, camera_name, t).color for t in range(clip.num_frames)]
        window = dataclasses.replace(window, truth=torch.stack(truth))
        windows += cut_windows(window, config.window_frames, config.overlap_frames)
    write_shard(path, windows, {"seed": seed, "shifts_m": shifts_m, "fit_steps": steps, "config": to_plain(config)})
    return path
