"""Settings of the fit, light to import."""

from __future__ import annotations

from dataclasses import dataclass, field

from faithfusion.scene.scene_config import DensifyConfig, InitialiseConfig
from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class MotionConfig:
    """How the motion of nodes is refined (learning rates of Adam; a rate of 0 keeps what the boxes say).

    Attributes:
        pose_knot_frames: There are so many time stamps between two knots of the correction of a pose.
        handle_lr_m: The learning rate of the handles that bend people, in metres; 0 keeps people rigid.
        gain_lr: The learning rate of the log of an object's brightness; 0 keeps it constant.
    """

    pose_knot_frames: int = 5
    handle_lr_m: float = 1e-2
    gain_lr: float = 1e-2

    def __post_init__(self) -> None:
        if self.pose_knot_frames < 1:
            raise InputError("motion.pose_knot_frames", self.pose_knot_frames, "at least one time stamp between knots")


@dataclass(frozen=True)
class RigPoseConfig:
    """How the poses of the recording vehicle are refined.

    Attributes:
        knot_frames: There are so many time stamps between two knots of the correction.
        shift_lr_m: The learning rate of the shift, in metres.
    """

    knot_frames: int = 2
    shift_lr_m: float = 1e-3

    def __post_init__(self) -> None:
        if self.knot_frames < 1:
            raise InputError("rig_poses.knot_frames", self.knot_frames, "at least one time stamp between knots")


@dataclass(frozen=True)
class ExposureConfig:
    """How the exposure of pictures is fitted.

    Attributes:
        knot_frames: There are so many time stamps between two knots of a camera's exposure.
        gain_lr: The learning rate of the log of the gain; 0 takes all pictures as exposed alike.
        prior_weight: The weight of the mean square of the log gains in the loss.
    """

    knot_frames: int = 5
    gain_lr: float = 1e-3
    prior_weight: float = 0.1

    def __post_init__(self) -> None:
        if self.knot_frames < 1:
            raise InputError("exposure.knot_frames", self.knot_frames, "at least one time stamp between knots")


@dataclass(frozen=True)
class RecordingConfig:
    """What is refined beside the Gaussians; null keeps what the drive says.

    Attributes:
        motion: The poses and the brightness of moving objects, and the shapes of people
        exposure: The exposure of the pictures.
        rig_poses: The poses of the recording vehicle.
    """

    motion: MotionConfig | None = field(default_factory=MotionConfig)
    exposure: ExposureConfig | None = field(default_factory=ExposureConfig)
    rig_poses: RigPoseConfig | None = None


@dataclass(frozen=True)
class OptimiserConfig:
    """Learning rates (Adam) and loss weights.

    Attributes:
        means_lr: The learning rate of the positions, as a share of the scene's extent.
        means_lr_end: The share of `means_lr` that is left at the end of an exponential decay.
        warmup_steps: All rates rise to their full value over so many steps: Adam's first steps are as large where the
            gradient is noise as where it says something, and undo part of a fit that is continued.
        lr_end: The share of the other rates that is left at the end.
        quats_lr: The learning rate of the quaternions.
        scales_lr: The learning rate of the log-scales.
        opacities_lr: The learning rate of the opacity logits.
        colors_lr: The learning rate of the colours, harmonics of all degrees.
        sky_lr: The learning rate of the sky's texture.
        depth_weight: The weight of the LiDAR depth loss.
        ground_weight: The weight of the loss that keeps Gaussians near the ground flat and in it, per metre.
    """

    means_lr: float = 3e-4
    means_lr_end: float = 0.02
    warmup_steps: int = 0
    lr_end: float = 0.2
    quats_lr: float = 2e-3
    scales_lr: float = 2e-2
    opacities_lr: float = 1e-1
    colors_lr: float = 2e-2
    sky_lr: float = 1e-2
    depth_weight: float = 0.1
    ground_weight: float = 0.3


@dataclass(frozen=True)
class FitConfig:
    """How a scene is fitted to a drive.

    Attributes:
        steps: The number of descent steps, each of which sees one view.
        half_resolution_steps: So many of the first steps see images at half the resolution.
        checkpoint_every: There are so many steps between two checkpoints, from which a killed run continues.
        cache_mb: So many megabytes are kept of decoded views; the others are read again when they are needed.
        max_memory_gib: The fit stays below so many GiB by taking fewer Gaussians (`fit.budget`); 0 sets no limit.
        initialise: The first Gaussians.
        optimise: Learning rates and losses.
        densify: The control of the density of Gaussians.
        recording: What is refined beside the Gaussians.
    """

    steps: int = 1000
    half_resolution_steps: int = 250
    checkpoint_every: int = 250
    cache_mb: int = 256
    max_memory_gib: float = 0.0
    initialise: InitialiseConfig = field(default_factory=InitialiseConfig)
    optimise: OptimiserConfig = field(default_factory=OptimiserConfig)
    densify: DensifyConfig = field(default_factory=DensifyConfig)
    recording: RecordingConfig = field(default_factory=RecordingConfig)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.checkpoint_every < 1:
            found = f"steps = {self.steps}, checkpoint_every = {self.checkpoint_every}"
            raise InputError("fit", found, "positive numbers of steps")
        if self.cache_mb < 0 or self.max_memory_gib < 0:
            found = f"cache_mb = {self.cache_mb}, max_memory_gib = {self.max_memory_gib}"
            raise InputError("fit", found, "no negative memory")
