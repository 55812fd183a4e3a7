"""A scene as one safetensors file: tensors, and everything else as JSON in the file's header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faithfusion.scene.graph import GAUSSIAN_FIELDS
from faithfusion.types import Exposure, Gaussians, GaussianScene, RigidNode, Sky
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError

FORMAT = "faithfusion-scene-1"
NODE_FIELDS = ("size_m", "time_indices", "world_from_node")
OPTIONAL_NODE_FIELDS = ("handles_m", "handle_offsets_m", "log_gains")


def save_scene(path: Path, scene: GaussianScene, metadata: dict[str, Any]) -> None:
    """Writes the scene whole or not at all. `metadata` is plain JSON data: configuration, calibration, origin."""
    save_tensors(path, scene_tensors(scene), {"format": FORMAT, **node_names(scene), "metadata": metadata})


def load_scene(path: Path, device: torch.device | str = "cpu") -> tuple[GaussianScene, dict[str, Any]]:
    """The scene of `save_scene`, on `device`, and its metadata. InputError if the file is missing, damaged or something
    else."""
    tensors, header = load_tensors(path)
    if header.get("format") != FORMAT:
        raise InputError(path, f"format {header.get('format')!r}", f"a scene written as {FORMAT!r}")
    return scene_to(scene_from_tensors(path, tensors, header), device), header["metadata"]


def node_names(scene: GaussianScene) -> dict[str, list[str]]:
    """The part of the scene graph that is not numbers."""
    exposed = {} if scene.exposure is None else {"exposed_cameras": list(scene.exposure.camera_names)}
    return {"track_ids": [node.track_id for node in scene.nodes], **exposed}


def scene_tensors(scene: GaussianScene) -> dict[str, Tensor]:
    """All tensors of a scene under flat names."""
    tensors = {name: getattr(scene.gaussians, name) for name in GAUSSIAN_FIELDS}
    tensors |= {"node_ids": scene.node_ids, "sky_texture": scene.sky.texture}
    for index, node in enumerate(scene.nodes):
        present = [name for name in OPTIONAL_NODE_FIELDS if getattr(node, name) is not None]
        tensors |= {f"node.{index}.{name}": getattr(node, name) for name in (*NODE_FIELDS, *present)}
    if scene.exposure is not None:
        tensors |= {"exposure.log_gains": scene.exposure.log_gains, "exposure.offsets": scene.exposure.offsets}
    if scene.world_from_ego is not None:
        tensors["world_from_ego"] = scene.world_from_ego
    return tensors


def scene_from_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> GaussianScene:
    """Inverse of `scene_tensors`; `path` is for the message if a tensor is missing or of the wrong length."""
    try:
        num = tensors["means"].shape[0]
        for name in (*GAUSSIAN_FIELDS, "node_ids"):
            if tensors[name].shape[0] != num:
                raise InputError(path, f"{name} has {tensors[name].shape[0]} rows", f"{num} as in means")
        gaussians = Gaussians(**{name: tensors[name] for name in GAUSSIAN_FIELDS})
        nodes = tuple(_node(tensors, index, track_id) for index, track_id in enumerate(header["track_ids"]))
        sky, cameras = Sky(tensors["sky_texture"]), header.get("exposed_cameras")
        exposure = None
        if cameras is not None:
            exposure = Exposure(tuple(cameras), tensors["exposure.log_gains"], tensors["exposure.offsets"])
        return GaussianScene(gaussians, tensors["node_ids"], nodes, sky, exposure, tensors.get("world_from_ego"))
    except KeyError as error:
        raise InputError(path, f"no tensor or key {error}", "a complete scene") from None


def _node(tensors: dict[str, Tensor], index: int, track_id: str) -> RigidNode:
    prefix = f"node.{index}."
    present = [name for name in OPTIONAL_NODE_FIELDS if prefix + name in tensors]
    return RigidNode(track_id, **{name: tensors[prefix + name] for name in (*NODE_FIELDS, *present)})


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Tensors with a JSON header, written atomically."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_file(path) as temporary:
        save_file(plain, temporary, metadata={"header": json.dumps(header, sort_keys=True)})


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Inverse of `save_tensors`, on the CPU. InputError if the file is missing or damaged."""
    if not path.is_file():
        raise InputError(path, "no such file", "a safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("header", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        raise InputError(path, f"damaged ({error})", "a whole safetensors file") from None


def detach_scene(scene: GaussianScene) -> GaussianScene:
    """The same scene without autograd history, in tensors of its own."""
    tensors = {name: tensor.detach().clone() for name, tensor in scene_tensors(scene).items()}
    return scene_from_tensors(Path("scene"), tensors, node_names(scene))


def scene_to(scene: GaussianScene, device: torch.device | str) -> GaussianScene:
    """The same scene with all tensors on `device`."""
    tensors = {name: tensor.to(device) for name, tensor in scene_tensors(scene).items()}
    return scene_from_tensors(Path("scene"), tensors, node_names(scene))
