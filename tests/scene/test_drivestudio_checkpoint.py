"""DriveStudio checkpoints with its own keys and shapes: the same picture as its own equations give."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gsplat.cuda._torch_impl import _spherical_harmonics
from reference.drivestudio_models import Affine, DeformNetwork, SkyNetwork, nodes, save_checkpoint, vanilla
from scipy.spatial.transform import Rotation
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.render import render
from faithfusion.render.project import project
from faithfusion.render.render_view import render_view
from faithfusion.scene.drivestudio_checkpoint import (
    TrainingRun,
    describe,
    import_drivestudio,
    model_world,
    read_training_run,
)
from faithfusion.scene.drivestudio_sky import CUBE_FROM_WORLD, sample_cube, texel_directions
from faithfusion.scene.graph import gaussians_at
from faithfusion.scene.scene_file import load_scene
from faithfusion.scene.sky import sample_sky, sky_coordinates
from faithfusion.types import Camera, Gaussians
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import SH_0
from faithfusion.utils.similarity import Similarity

FRAMES, INSTANCES = 5, 2


def make_models(degree: int = 3) -> dict:
    generator = torch.Generator().manual_seed(7)
    return {
        "Background": vanilla(800, degree, generator, (14.0, 0.0, 1.0), 4.0),
        "RigidNodes": nodes(300, INSTANCES, FRAMES, degree, generator),
    }


def camera_ahead() -> Camera:
    pose = torch.eye(4)
    pose[:3, :3] = torch.tensor([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    pose[:3, 3] = torch.tensor([0.5, 0.2, 1.4])
    return Camera(torch.tensor([[60.0, 0, 40], [0, 60, 24], [0, 0, 1]]), pose, 80, 48)


def activated(models: dict, camera: Camera, frame: int) -> dict[str, torch.Tensor]:
    """What DriveStudio hands to gsplat at one frame: means, quaternions, scales, opacities, colours."""
    parts = []
    for name, state in models.items():
        means, quats = state["_means"], state["_quats"] / state["_quats"].norm(dim=-1, keepdim=True)
        opacities = torch.sigmoid(state["_opacities"])
        if name == "RigidNodes":
            ids = state["points_ids"][:, 0]
            pose = state["instances_quats"][frame] / state["instances_quats"][frame].norm(dim=-1, keepdim=True)
            turn = Rotation.from_quat(pose.numpy(), scalar_first=True)
            rotation = torch.from_numpy(turn.as_matrix()).float()[ids]
            means = torch.bmm(rotation, means[..., None])[..., 0] + state["instances_trans"][frame][ids]
            own = Rotation.from_quat(quats.numpy(), scalar_first=True)
            quats = torch.from_numpy((turn[ids.numpy()] * own).as_quat(scalar_first=True)).float()
            opacities = opacities * state["instances_fv"][frame][ids].float()[:, None]
        colors = torch.cat([state["_features_dc"][:, None], state["_features_rest"]], 1)
        view = F.normalize(means - camera.world_from_camera[:3, 3], dim=-1)
        degree = math.isqrt(colors.shape[1]) - 1
        rgb = (_spherical_harmonics(degree, view, colors) + 0.5).clamp_min(0.0)
        parts.append((means, quats, state["_scales"].exp(), opacities[:, 0], rgb))
    names = ("means", "quats", "scales", "opacities", "rgb")
    return dict(zip(names, (torch.cat(values) for values in zip(*parts, strict=True)), strict=True))


def test_background_and_rigid_nodes_are_exact(tmp_path: Path) -> None:
    models, camera = make_models(), camera_ahead()
    save_checkpoint(tmp_path / "checkpoint_final.pth", models)
    imported = import_drivestudio(tmp_path / "checkpoint_final.pth")
    assert imported.notes == ()
    assert describe(imported) == "800 Gaussians of the background, 300 of 2 nodes (0 deformable); left out: nothing"
    for frame in range(FRAMES):
        expected = activated(models, camera, frame)
        ours = gaussians_at(imported.scene, frame)
        projected = project(ours, camera)
        by_instance = torch.argsort(models["RigidNodes"]["points_ids"][:, 0], stable=True)
        order = torch.cat([torch.arange(800), 800 + by_instance])
        torch.testing.assert_close(projected.opacities, expected["opacities"][order], atol=1e-6, rtol=0)
        present = expected["opacities"][order] > 0
        for found, name in ((ours.means, "means"), (projected.rgb, "rgb")):
            torch.testing.assert_close(found[present], expected[name][order][present], atol=1e-5, rtol=0)
        direct = Gaussians(  # the same Gaussians without a graph, colours fixed as seen from here
            expected["means"], expected["quats"], expected["scales"].log(),
            torch.logit(expected["opacities"], eps=1e-7), ((expected["rgb"] - 0.5) / SH_0)[:, None],
        )  # fmt: skip
        black = torch.zeros(48, 80, 3)
        picture = render_view(imported.scene, camera, frame, backend="warp").color
        difference = (picture - render(direct, camera, black, backend="warp").color).abs().amax(-1)
        assert difference.quantile(0.99) < 1e-4 and difference.max() < 1.0 / 255.0
        assert picture.max() > 0.3


def test_a_model_in_another_world_is_moved_with_everything_in_it(tmp_path: Path) -> None:
    models, camera = make_models(), camera_ahead()
    models["Sky"] = {"base": torch.rand(6, 2, 2, 3)}
    path = tmp_path / "checkpoint_final.pth"
    save_checkpoint(path, models)
    plain = import_drivestudio(path).scene
    move = Similarity(Rotation.from_euler("zyx", [70, 20, -30], degrees=True).as_matrix(), np.array([3.0, -2.0, 1.0]))
    moved = import_drivestudio(path, world_from_model=move, run=TrainingRun(start=10)).scene
    pose = torch.from_numpy(move.move_pose(camera.world_from_camera.double().numpy())).float()
    there = dataclasses.replace(camera, world_from_camera=pose)
    for frame in range(FRAMES):
        before = render_view(plain, camera, frame, backend="warp")
        after = render_view(moved, there, frame + 10, backend="warp")
        solid = before.alpha > 0.999  # the two skies are sampled at different texels
        difference = (before.color - after.color)[solid].abs().amax(-1)
        assert difference.quantile(0.98) < 2e-4 and int(solid.sum()) > 100
    directions = torch.nn.functional.normalize(torch.randn(20, 30, 3), dim=-1)
    turned = directions @ torch.from_numpy(move.rotation).float().T
    difference = (sample_sky(moved.sky, turned) - sample_sky(plain.sky, directions)).abs()
    assert difference.quantile(0.95) < 0.02 and plain.sky.texture.std() > 0.1
    assert render_view(moved, there, 3, backend="warp").alpha.max() > 0.5  # background only, without an error


def slow_cube(faces: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Nearest texel by the equations the other way round: which texel of which face looks along the direction?"""
    size = faces.shape[1]
    best, color = -2.0, None
    for face in range(6):
        for row in range(size):
            for column in range(size):
                x, y = (column + 0.5) / size * 2 - 1, (row + 0.5) / size * 2 - 1
                point = [(1, -y, -x), (-1, -y, x), (x, 1, y), (x, -1, -y), (x, -y, 1), (-x, -y, -1)][face]
                cosine = float(F.normalize(torch.tensor(point), dim=0) @ direction)
                if cosine > best:
                    best, color = cosine, faces[face, row, column]
    return color


def test_cube_map_against_the_slow_search() -> None:
    faces = torch.rand(6, 4, 4, 3)
    for face in range(6):
        for row, column in ((0, 0), (1, 2), (3, 1)):
            x, y = (column + 0.5) / 2 - 1, (row + 0.5) / 2 - 1
            point = [(1, -y, -x), (-1, -y, x), (x, 1, y), (x, -1, -y), (x, -y, 1), (-x, -y, -1)][face]
            direction = F.normalize(torch.tensor(point, dtype=torch.float32), dim=0)
            torch.testing.assert_close(sample_cube(faces, direction[None, None])[0, 0], faces[face, row, column])
            torch.testing.assert_close(slow_cube(faces, direction), faces[face, row, column])


def test_sky_cube_becomes_a_texture_in_world_directions(tmp_path: Path) -> None:
    """Zenith, nadir, ahead and left of a smooth sky; nvdiffrast's faces are +x -x +y -y +z -z with y up."""
    models = make_models(0)
    faces = torch.zeros(6, 16, 16, 3)
    faces[2, ..., 2], faces[3, ..., 0], faces[0, ..., 1] = 1.0, 1.0, 1.0  # up blue, down red, +x green
    faces[5] = 1.0  # -z of the cube: +y of the world, left
    models["Sky"] = {"base": faces}
    save_checkpoint(tmp_path / "c.pth", models)
    sky = import_drivestudio(tmp_path / "c.pth").scene.sky
    directions = torch.tensor([[[0.0, 0, 1], [0, 0, -1], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]]])
    expected = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(sample_sky(sky, directions)[0], expected, atol=1e-5, rtol=0)
    smooth = texel_directions(128, 256)
    coordinates = sky_coordinates(smooth, 128, 256)
    torch.testing.assert_close(coordinates[3, 7], torch.tensor([7.5, 3.5]), atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.tensor([[0.0, 0, 1]]) @ CUBE_FROM_WORLD.T, torch.tensor([[0.0, 1, 0]]))


def test_sky_network(tmp_path: Path) -> None:
    network = SkyNetwork()
    save_checkpoint(tmp_path / "c.pth", make_models(0) | {"Sky": network})
    texture = import_drivestudio(tmp_path / "c.pth").scene.sky.texture
    directions = texel_directions(*texture.shape[:2])
    with torch.no_grad():
        expected = network(directions.reshape(-1, 3)).reshape(texture.shape)
    torch.testing.assert_close(texture, expected, atol=1e-5, rtol=0)


def test_mean_exposure_is_in_the_colours(tmp_path: Path) -> None:
    """The picture of the exposed scene is the exposed picture: affine of what the plain scene shows, sky included."""
    models, camera = make_models(1), camera_ahead()
    for state in models.values():
        state["_features_dc"] = state["_features_dc"].abs() + 0.5  # nothing is clipped at black
    models["Sky"] = {"base": torch.rand(6, 32, 32, 3)}
    affine = Affine()
    save_checkpoint(tmp_path / "plain.pth", models)
    save_checkpoint(tmp_path / "exposed.pth", models | {"Affine": affine})
    plain, exposed = (import_drivestudio(tmp_path / f"{name}.pth") for name in ("plain", "exposed"))
    before, after = (render_view(part.scene, camera, 2, backend="warp").color for part in (plain, exposed))
    matrix = affine.mean().detach()
    expected = before @ matrix[:, :3].T + matrix[:, 3]
    assert (expected - before).abs().mean() > 0.02
    assert (after - expected).abs().max() < 1e-4
    assert any("mean exposure" in note for note in exposed.notes)


def test_colours_of_degree_0_are_a_sigmoid(tmp_path: Path) -> None:
    models = make_models(0)
    save_checkpoint(tmp_path / "c.pth", models)
    scene = import_drivestudio(tmp_path / "c.pth").scene
    rgb = project(gaussians_at(scene, 0), camera_ahead()).rgb[:800]
    torch.testing.assert_close(rgb, torch.sigmoid(models["Background"]["_features_dc"]))


@pytest.mark.parametrize(("columns", "third"), [(1, 0.0), (2, None)])
def test_balls_and_flat_gaussians(tmp_path: Path, columns: int, third: float | None) -> None:
    models = make_models(0)
    models["Background"]["_scales"] = models["Background"]["_scales"][:, :columns]
    save_checkpoint(tmp_path / "c.pth", models)
    scales = import_drivestudio(tmp_path / "c.pth").scene.gaussians.log_scales[:800]
    torch.testing.assert_close(scales[:, :columns], models["Background"]["_scales"])
    assert (scales[:, 2] == scales[:, 0]).all() if third is not None else (scales[:, 2].exp() < 1e-6).all()


def test_people_follow_their_network(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    state = nodes(240, INSTANCES, FRAMES, 1, generator)
    state["_means"] *= torch.tensor([0.3, 0.3, 0.8])
    state["instances_size"] = torch.tensor([[0.8, 0.8, 1.7]]).repeat(INSTANCES, 1)
    state["instances_embedding"] = torch.rand(INSTANCES, 16, generator=generator)
    network = DeformNetwork()
    with torch.no_grad():  # a few centimetres, smooth in place: what a trained one does
        network.linear[0].weight[:, 9:63] *= 0.02
        network.gaussian_warp.weight *= 3.0
    models = make_models(1)
    people = state | {f"deform_network.{name}": value for name, value in network.state_dict().items()}
    save_checkpoint(tmp_path / "c.pth", models | {"DeformableNodes": people})
    imported = import_drivestudio(tmp_path / "c.pth")
    assert [node.track_id for node in imported.scene.nodes[2:]] == ["DeformableNodes.0", "DeformableNodes.1"]
    moved_m, missed_m = [], []
    for frame in range(INSTANCES, FRAMES):
        ours = gaussians_at(imported.scene, frame).means[1100:]
        for instance in range(INSTANCES):
            chosen = state["points_ids"][:, 0] == instance
            means = state["_means"][chosen]
            height = state["instances_size"][instance, 2]
            moment = torch.linspace(0, 1, FRAMES)[frame].expand(len(means), 1)
            code = state["instances_embedding"][instance].expand(len(means), -1)
            with torch.no_grad():
                shift, _ = network(means / height * 2, moment, code)
            quat = F.normalize(state["instances_quats"][frame, instance], dim=0).numpy()
            rotation = torch.from_numpy(Rotation.from_quat(quat, scalar_first=True).as_matrix()).float()
            expected = (means + shift) @ rotation.T + state["instances_trans"][frame, instance]
            part = ours[instance * 120 : (instance + 1) * 120]
            missed_m.append((part - expected).norm(dim=-1))
            moved_m.append(shift.norm(dim=-1))
    assert torch.cat(missed_m).mean() < 0.15 * torch.cat(moved_m).mean()
    assert "what handles cannot follow" in describe(imported) and "(2 deformable)" in describe(imported)
    save_checkpoint(tmp_path / "early.pth", models | {"DeformableNodes": people}, step=2000)
    early = import_drivestudio(tmp_path / "early.pth")
    assert all(node.handles_m is None for node in early.scene.nodes) and early.notes == ()


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    models = make_models(0) | {"SMPLNodes": {}, "CamPose": {}, "Sky": {"other": torch.zeros(1)}, "Fog": {}}
    save_checkpoint(tmp_path / "c.pth", models)
    line = describe(import_drivestudio(tmp_path / "c.pth"))
    for word in ("SMPLNodes", "CamPose", "sky of unknown kind", "'Fog'"):
        assert word in line
    assert "\n" not in line


def test_wrong_checkpoints_end_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_final.pth"

    def refused(match: str) -> None:
        with pytest.raises(InputError, match=match) as caught:
            import_drivestudio(path)
        assert "\n" not in str(caught.value)

    refused("no such file")
    path.write_bytes(b"no checkpoint")
    refused("cannot be loaded")
    with path.open("wb") as file:  # code in a pickle is not run
        pickle.dump({"models": Path("x")}, file, protocol=2)
    refused("cannot be loaded")
    torch.save({"step": 3}, path)
    refused("no key models")
    save_checkpoint(path, {"Sky": {}})
    refused(r"no key models\.Background")
    for model, key in (("Background", "_quats"), ("RigidNodes", "instances_trans"), ("RigidNodes", "points_ids")):
        models = make_models(0)
        del models[model][key]
        save_checkpoint(path, models)
        refused(rf"no key models\.{model}\.{key}")
    for model, key, value, match in (
        ("Background", "_scales", torch.zeros(7, 3), r"_scales of shape \(7, 3\)"),
        ("Background", "_opacities", "none", "_opacities of shape str"),
        ("Background", "_taus", torch.zeros(800, 1), "PeriodicVibrationGaussians"),
        ("RigidNodes", "points_ids", torch.full((300, 1), 9), "points_ids from 9 to 9"),
        ("RigidNodes", "instances_quats", torch.zeros(FRAMES, 1, 4), "instances_quats"),
    ):
        models = make_models(0)
        models[model][key] = value
        save_checkpoint(path, models)
        refused(match)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused("cannot be loaded")


def test_the_run_says_where_its_world_lies(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint_final.pth"
    assert read_training_run(checkpoint) == TrainingRun()
    data = {"dataset": "nuscenes", "start_timestep": 3}
    config = {"data": data, "model": {"DeformableNodes": {"ctrl": {"use_deformgs_after": 500}}}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    run = read_training_run(checkpoint)
    assert run == TrainingRun("nuscenes", 3, 500)
    with pytest.raises(InputError, match="--clip"):
        model_world(run, None)
    assert model_world(TrainingRun("kitti"), None).scale == 1.0
    clip = read_drive(write_tiny_clip(tmp_path / "drive"))
    move = model_world(TrainingRun(start=3), clip)
    np.testing.assert_allclose(move.rotation, clip.world_from_ego[3, :3, :3], atol=1e-6)
    np.testing.assert_allclose(move.translation, clip.world_from_ego[3, :3, 3], atol=1e-6)
    with pytest.raises(InputError, match="6 time stamps"):
        model_world(TrainingRun(start=6), clip)
    (tmp_path / "config.yaml").write_text("data: [")
    with pytest.raises(InputError, match=r"config\.yaml"):
        read_training_run(checkpoint)


def test_tool_with_the_drive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_clip(tmp_path / "drive")
    save_checkpoint(tmp_path / "checkpoint_final.pth", make_models(1))
    main = runpy.run_path(str(Path(__file__).resolve().parents[2] / "tools" / "import_scene.py"))["main"]
    arguments = [
        "--drivestudio",
        tmp_path / "checkpoint_final.pth",
        "--clip",
        tmp_path / "drive",
        "--out",
        tmp_path / "run",
    ]
    main([str(argument) for argument in arguments])
    scene, metadata = load_scene(tmp_path / "run" / "scene.safetensors")
    assert scene.gaussians.num == 1100 and metadata == {"imported_from": "checkpoint_final.pth", "left_out": []}
    said = capsys.readouterr().err
    assert "left out: nothing" in said and "mean PSNR" in said and (tmp_path / "run" / "check.png").is_file()
