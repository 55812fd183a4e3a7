"""Trained scenes of DriveStudio (`checkpoint_final.pth`) as Gaussian scenes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from faithfusion.data.layouts import LAYOUTS
from faithfusion.scene.drivestudio_models import Keys, NodeModel, read_gaussians, read_nodes, with_harmonics
from faithfusion.scene.drivestudio_people import deform_node, has_network
from faithfusion.scene.drivestudio_sky import mean_exposure, sky_texture
from faithfusion.scene.graph import concatenate, count_members, select
from faithfusion.scene.move_gaussians import move_gaussians
from faithfusion.types import DriveClip, Gaussians, GaussianScene, RigidNode, Sky
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import turn_harmonics
from faithfusion.utils.similarity import Similarity

EXPECTED = "a checkpoint of DriveStudio (checkpoint_final.pth)"
IDENTITY = Similarity(np.eye(3), np.zeros(3))
LEFT_OUT = {
    "SMPLNodes": "people posed by a body model (SMPLNodes): they need SMPL's skeleton, which may not be shipped",
    "CamPose": "refined camera poses (CamPose): the drive's recorded poses stay",
    "CamPosePerturb": "perturbed camera poses (CamPosePerturb)",
}
KNOWN = ("Background", "RigidNodes", "DeformableNodes", "Sky", "Affine", *LEFT_OUT)


@dataclass(frozen=True)
class ImportedScene:
    """A scene, and notes on what of its checkpoint it does not hold, one phrase each."""

    scene: GaussianScene
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TrainingRun:
    """What DriveStudio's `config.yaml` beside a checkpoint says about the world of the model."""

    dataset: str = "waymo"
    start: int = 0  # first time stamp of the drive that was trained on
    deforms_after: int = 3000  # step from which on deformable nodes deform; DriveStudio's default


def read_training_run(checkpoint: Path) -> TrainingRun:
    """The settings of the run that wrote a checkpoint; defaults without a `config.yaml` beside it.

    InputError if there is one that cannot be read.
    """
    path = checkpoint.parent / "config.yaml"
    if not path.is_file():
        return TrainingRun()
    try:
        config = yaml.safe_load(path.read_text())
        data, model = config["data"], config.get("model", {})
        control = model.get("DeformableNodes", {}).get("ctrl", {})
        after = control.get("use_deformgs_after", TrainingRun.deforms_after)
        if not control.get("use_deformgs_for_nonrigid", True):
            after = 1 << 60
        return TrainingRun(str(data["dataset"]).split("/")[0], int(data.get("start_timestep", 0)), int(after))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        found = " ".join(str(error).split())[:200]
        raise InputError(path, f"cannot be read ({found})", "DriveStudio's configuration with data.dataset") from None


def model_world(run: TrainingRun, clip: DriveClip | None) -> Similarity:
    """The move from the world of the model to that of the clip.

    DriveStudio's world is the first trained ego pose as its data set stores it; for nuScenes that of the front camera.
    InputError where that cannot be known without the drive, and for a drive that is too short or of another layout.
    """
    if clip is None:
        layout = LAYOUTS.get(run.dataset)
        if layout is None or run.start or not layout.ego_pose or layout.body_axes != "flu":
            found = f"nothing, for a model of {run.dataset} trained from time stamp {run.start} on"
            raise InputError("--clip", found, "its drive, which says where the model's world lies")
        return IDENTITY
    if run.start >= clip.num_frames:
        raise InputError(clip.root, f"{clip.num_frames} time stamps", f"{run.start} and more, as the model was trained")
    layout = LAYOUTS[clip.layout]
    if layout.ego_pose:
        pose = clip.world_from_ego[run.start].double().numpy() @ layout.body_from_flu.T
    else:
        pose = clip.frame(run.start, clip.camera_names[0]).camera.world_from_camera.double().numpy()
    return Similarity(pose[:3, :3], pose[:3, 3])


def import_drivestudio(
    path: Path, *, world_from_model: Similarity = IDENTITY, run: TrainingRun | None = None
) -> ImportedScene:
    """The scene of a checkpoint, in the world that `world_from_model` (rigid) leads to; time stamp t of the model is
    t + `run.start`. Loaded with `weights_only`: no code of the file is run.

    Background and rigid nodes are exact. Deformable nodes follow handles (`drivestudio_people`), the sky becomes a
    texture, the mean of the exposures (`Affine`) is put into the colours. InputError if the file is missing, damaged or
    of another model; a missing key is named.
    """
    run = read_training_run(path) if run is None else run
    models, step = _load(path)
    notes = [phrase for name, phrase in LEFT_OUT.items() if name in models]
    notes += [f"model {name!r}, which is not known" for name in models if name not in KNOWN]
    background = read_gaussians(path, "Background", models["Background"])
    parts, node_ids, nodes = [move_gaussians(background, world_from_model)], [torch.zeros(background.num).long()], []
    for name in ("RigidNodes", "DeformableNodes"):
        if name in models:
            keys, model = Keys(path, name, models[name]), read_nodes(path, name, models[name])
            deforms = name == "DeformableNodes" and step > run.deforms_after
            if deforms and not has_network(keys):
                notes.append(f"the deformation network of {name}: not of DriveStudio's size; they are rigid")
                deforms = False
            added, errors_m = _add_nodes(name, keys, model, world_from_model, run.start, deforms)
            for gaussians, node in added:
                nodes.append(node)
                parts.append(gaussians)
                node_ids.append(torch.full((gaussians.num,), len(nodes)))
            if errors_m:
                found = f"what handles cannot follow of deformable nodes (root mean square {max(errors_m):.3f} m)"
                notes.append(f"{found}, and how their Gaussians turn")
    num = max(part.colors.shape[1] for part in parts)
    parts = [dataclasses.replace(part, colors=with_harmonics(part, num)) for part in parts]
    gaussians = concatenate(*parts)
    texture = sky_texture(path, models, world_from_model, notes)
    colors, texture = mean_exposure(path, models, gaussians.colors, texture, notes)
    gaussians = dataclasses.replace(gaussians, colors=colors)
    scene = GaussianScene(gaussians, torch.cat(node_ids), tuple(nodes), Sky(texture))
    return ImportedScene(scene, tuple(notes))


def describe(imported: ImportedScene) -> str:
    """One line that says what was imported and what was not."""
    scene = imported.scene
    background, *members = count_members(scene.node_ids, len(scene.nodes)).tolist()
    people = sum(node.handles_m is not None for node in scene.nodes)
    line = f"{background} Gaussians of the background, {sum(members)} of {len(scene.nodes)} nodes ({people} deformable)"
    return f"{line}; left out: {'; '.join(imported.notes) or 'nothing'}"


def _load(path: Path) -> tuple[Mapping[str, Any], int]:
    if not path.is_file():
        raise InputError(path, "no such file", EXPECTED)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, zip and pickle raise a dozen kinds
        reason = " ".join(str(error).split()).split("WeightsUnpickler error: ")[-1]
        found = reason[:120] or type(error).__name__
        raise InputError(path, f"cannot be loaded without running its code ({found})", EXPECTED) from None
    if not isinstance(state, Mapping) or not isinstance(state.get("models"), Mapping):
        raise InputError(path, "no key models", EXPECTED)
    if "Background" not in state["models"]:
        raise InputError(path, f"no key models.Background (there are: {', '.join(state['models'])})", EXPECTED)
    return state["models"], int(state.get("step", 0))


def _add_nodes(
    name: str, keys: Keys, model: NodeModel, world: Similarity, start: int, deforms: bool
) -> tuple[list[tuple[Gaussians, RigidNode]], list[float]]:
    """One node per instance that has Gaussians and is present at some time."""
    added, errors_m = [], []
    for instance in range(model.present.shape[1]):
        times = torch.nonzero(model.present[:, instance]).flatten()
        chosen = model.instance_of == instance
        if not len(times) or not chosen.any():
            continue
        members = select(model.gaussians, chosen)
        # harmonics stay in world directions while an object turns, in DriveStudio as here
        turn = torch.from_numpy(world.rotation)
        members = dataclasses.replace(members, colors=turn_harmonics(members.colors, turn))
        poses = _poses(model, instance, times, world)
        node = RigidNode(f"{name}.{instance}", model.size_m[instance], times + start, poses)
        if deforms:
            members, node, error_m = deform_node(keys, model, instance, members, node, times)
            errors_m.append(error_m)
        added.append((members, node))
    return added, errors_m


def _poses(model: NodeModel, instance: int, times: Tensor, world: Similarity) -> Float[Tensor, "n 4 4"]:
    poses = np.tile(np.eye(4), (len(times), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(model.quats[times, instance].double(), scalar_first=True).as_matrix()
    poses[:, :3, 3] = model.centres[times, instance].double()
    return torch.from_numpy(np.stack([world.move_pose(pose) for pose in poses])).float()
