"""The configuration of a whole refinement run."""

from __future__ import annotations

from dataclasses import dataclass, field

from faithfusion.data.split_config import SplitConfig
from faithfusion.data.trajectory_config import TrajectoryEntry, check_entries
from faithfusion.distill.config import DistillConfig
from faithfusion.eig.config import EigConfig
from faithfusion.fit.fit_config import FitConfig
from faithfusion.street.street_config import StreetConfig
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor_config import EditorConfig, EditorEntry, require_kinds
from faithfusion.window.warp_config import WarpConfig


@dataclass(frozen=True)
class RefineConfig:
    """A drive in, a video along a new trajectory, an improved scene and a report out.

    Attributes:
        out: The folder of the run; the same command continues there.
        scene: The folder of the drive. Without it the procedural street is made and driven.
        gaussians: A scene that is trained already, in the world of the drive, to start from instead of fitting one: a
            scene.safetensors of `import_scene`, `reconstruct` or another run, or a .ply, .spz or .splat file. Such a
            file, given here or imported before, is written back refined, in its own format.
        street: The procedural street, which is used without `scene`.
        cameras: The cameras that are fitted. Without them all are.
        camera: The camera whose clip is refined. Without it the first one is taken.
        trajectory: Where to drive instead, as entries that add up, such as [{shift_m: 3, over_m: [20, 50]}, {yaw_deg:
            5}] (docs/trajectories.md). Without it the whole drive is shifted by distill.schedule.target_shift_m.
        num_frames: So many time stamps are used from the start; 0 takes all.
        split: The frames that are kept back for calibration and evaluation.
        editors: What edits the rendered clips, one after another, such as [{kind: wan, weights: wan-tiny}, {kind:
            fixer, steady: 1}]. Each entry has a kind ("wan" is the video model, "fixer" the single-image fixer, and the
            import path of your own editor, as path/to/my_file.py:MyEditor, is taken, too) and options of that kind,
            which `faithfusion/video/editors` explains and the top of this page lists.
        editor: What all editors share.
        posterior_stride: One of so many training frames of a camera enters the EIG posterior (calibration makes up for
            it).
        settle_steps: So many steps fit the withheld stretches, too, once they have calibrated EIG; half of them see
            those.
        seed: The seed of everything that is left to chance in the run; `street.seed` says which street.
        device: Where scenes are fitted, rendered and edited; "auto" is CUDA if there is a device.
        fit: The reconstruction of the recorded drive.
        eig: The expected information gain.
        warp: The recorded views that are brought into the new ones.
        distill: The distillation of the edited clips into the scene.
    """

    out: str = "output/refine"
    scene: str | None = None
    gaussians: str | None = None
    street: StreetConfig = field(default_factory=StreetConfig)
    cameras: tuple[str, ...] = ()
    camera: str = ""
    trajectory: tuple[TrajectoryEntry, ...] = ()
    num_frames: int = 0
    split: SplitConfig = field(default_factory=SplitConfig)
    editors: tuple[EditorEntry, ...] = field(default_factory=lambda: ({"kind": "wan"},))
    posterior_stride: int = 2
    settle_steps: int = 100
    seed: int = 0
    device: str = "auto"
    fit: FitConfig = field(default_factory=FitConfig)
    eig: EigConfig = field(default_factory=EigConfig)
    warp: WarpConfig = field(default_factory=WarpConfig)
    editor: EditorConfig = field(default_factory=EditorConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)

    def __post_init__(self) -> None:
        if self.posterior_stride < 1 or self.settle_steps < 0:
            found = f"posterior_stride = {self.posterior_stride}, settle_steps = {self.settle_steps}"
            raise InputError("configuration", found, "a stride of at least 1 and no negative number of steps")
        if self.distill.metric == "posterior" and self.eig.posterior == "diag":
            raise InputError(
                "distill.metric", "posterior beside eig.posterior: diag", "block, or the metric parameters"
            )
        if self.gaussians is not None and self.scene is None:
            raise InputError("gaussians", self.gaussians, "the drive that they show, too (scene)")
        check_entries(self.trajectory)
        require_kinds("editors", self.editors)

    @property
    def trajectory_entries(self) -> tuple[TrajectoryEntry, ...]:
        """The wanted trajectory; without one, the schedule's shift of the whole drive."""
        return self.trajectory or (TrajectoryEntry(shift_m=self.distill.schedule.target_shift_m),)


@dataclass(frozen=True, kw_only=True)
class ReconstructConfig:
    """A drive in, fitted and calibrated Gaussians out.

    Attributes:
        scene: The folder of the drive.
        out: The folder of the run; the same command continues there.
        cameras: The cameras that are fitted. Without them all are.
        split: The frames that are kept back for calibration and evaluation.
        posterior_stride: One of so many training frames of a camera enters the EIG posterior.
        seed: The seed of everything that is left to chance.
        device: Where the scene is fitted; "auto" is CUDA if there is a device.
        fit: The reconstruction.
        eig: The expected information gain.
    """

    scene: str
    out: str
    cameras: tuple[str, ...] = ()
    split: SplitConfig = field(default_factory=SplitConfig)
    posterior_stride: int = 2
    seed: int = 0
    device: str = "auto"
    fit: FitConfig = field(default_factory=FitConfig)
    eig: EigConfig = field(default_factory=EigConfig)

    def __post_init__(self) -> None:
        if self.posterior_stride < 1:
            raise InputError("posterior_stride", self.posterior_stride, "at least 1")
