"""A scene leaves by tools/export_scene.py, comes back by tools/import_scene.py and looks the same from its cameras."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch
from PIL import Image
from reference.camera_writers import write_colmap, write_transforms
from tiny_clip import write_tiny_clip

from faithfusion.data.camera_files import read_cameras
from faithfusion.data.drive_reader import read_drive
from faithfusion.render.render_view import render_view
from faithfusion.scene.scene_file import load_scene, save_scene
from faithfusion.scene.splat_files import scene_before_color
from faithfusion.types import DriveClip, Gaussians, GaussianScene
from faithfusion.utils.errors import InputError

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def run_tool(name: str, *arguments: object) -> None:
    runpy.run_path(str(TOOLS / name))["main"]([str(argument) for argument in arguments])


def street_scene(coefficients: int) -> GaussianScene:
    """A road, walls to both sides, and view-dependent colours, along the path of the tiny clip."""
    generator = torch.Generator().manual_seed(4)
    num = 1500
    means = torch.rand(num, 3, generator=generator) * torch.tensor([30.0, 16.0, 6.0]) + torch.tensor([2.0, -8.0, -0.5])
    road = torch.arange(num) % 3 == 0
    means[road, 2] = 0.0
    log_scales = torch.randn(num, 3, generator=generator) * 0.3 - 1.0
    colors = torch.randn(num, coefficients, 3, generator=generator) * 0.3
    quats = torch.nn.functional.normalize(torch.randn(num, 4, generator=generator), dim=-1)
    logits = torch.randn(num, generator=generator)
    return scene_before_color(Gaussians(means, quats, log_scales, logits, colors), (0.2, 0.3, 0.4))


def assert_same_pictures(scene: GaussianScene, clip: DriveClip, other: GaussianScene, other_clip: DriveClip) -> None:
    """They agree to 1e-4, but for pixels where float32 carries a Gaussian over the rasteriser's floor of 1/255."""
    for frame in other_clip.frames:
        before = render_view(scene, clip.frame(frame.time_index, "0").camera, frame.time_index).color
        after = render_view(other, frame.camera, frame.time_index).color
        difference = (after - before).abs().amax(-1)
        assert difference.quantile(0.99) < 1e-4 and difference.max() < 1.0 / 255.0


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive, a scene of it, and both in the files of 3DGS with y down."""
    root = tmp_path_factory.mktemp("exported")
    write_tiny_clip(root / "drive", num_frames=8, camera_names=("0",), optional=False)
    save_scene(root / "scene.safetensors", street_scene(16), {})
    run_tool(
        "export_scene.py", "--scene_checkpoint", root / "scene.safetensors", "--out", root / "point_cloud.ply",
        "--clip", root / "drive",
    )  # fmt: skip
    return root


@pytest.mark.parametrize("kind", ["cameras.json", "transforms.json", "colmap"])
def test_out_and_in_again(exported: Path, tmp_path: Path, kind: str) -> None:
    path = exported / "cameras.json"
    if kind == "transforms.json":
        path = tmp_path / kind
        write_transforms(path, read_cameras(exported / "cameras.json"))
    elif kind == "colmap":
        path = tmp_path / kind
        write_colmap(path / "sparse" / "0", read_cameras(exported / "cameras.json"), "PINHOLE", binary=True)
    run = tmp_path / "run"
    run_tool(
        "import_scene.py", "--gaussians", exported / "point_cloud.ply", "--cameras", path, "--images",
        exported / "drive" / "images", "--out", run, "--background", 0.2, 0.3, 0.4,
    )  # fmt: skip
    scene, metadata = load_scene(run / "scene.safetensors")
    original, clip, other = street_scene(16), read_drive(exported / "drive"), read_drive(run / "drive")
    assert other.num_frames == 8 and metadata["imported_from"] == "point_cloud.ply"
    assert_same_pictures(original, clip, scene, other)
    with Image.open(run / "check.png") as picture:
        assert picture.size == (64, 72)
    heights = scene.gaussians.means[torch.arange(1500) % 3 == 0, 2]  # the road, 1.5 m below the camera, is level
    assert float(heights.std()) < 0.02 and float(heights.mean()) == pytest.approx(-1.5, abs=0.05)


def test_scale_and_up_are_followed(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, arguments in (("plain", ()), ("scaled", ("--scale", 2.0, "--up", 0, -1, 0))):
        run_tool(
            "import_scene.py", "--gaussians", exported / "point_cloud.ply", "--cameras", exported / "cameras.json",
            "--images", exported / "drive" / "images", "--out", tmp_path / name, *arguments,
        )  # fmt: skip
    assert "mean PSNR" in capsys.readouterr().err
    (plain, _), (scaled, _) = (load_scene(tmp_path / name / "scene.safetensors") for name in ("plain", "scaled"))
    torch.testing.assert_close(scaled.gaussians.means, 2.0 * plain.gaussians.means, atol=0.05, rtol=0)
    clips = [read_drive(tmp_path / name / "drive") for name in ("plain", "scaled")]
    torch.testing.assert_close(
        clips[1].world_from_ego[:, :3, 3], 2.0 * clips[0].world_from_ego[:, :3, 3], atol=0.05, rtol=0
    )
    assert_same_pictures(plain, clips[0], scaled, clips[1])


def test_gaussians_alone_can_be_turned_up(exported: Path, tmp_path: Path) -> None:
    run_tool("import_scene.py", "--gaussians", exported / "point_cloud.ply", "--out", tmp_path, "--up", 0, -1, 0)
    scene, _ = load_scene(tmp_path / "scene.safetensors")
    assert float(scene.gaussians.means[::3, 2].abs().max()) < 1e-5  # the road lies at z = 0 again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.safetensors"]
    assert float(scene.sky.texture.max()) == 0.0


@pytest.mark.parametrize("suffix", [".spz", ".compressed.ply", ".splat"])
def test_other_formats_come_back_in_place(exported: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"scene{suffix}"
    run_tool("export_scene.py", "--scene_checkpoint", exported / "scene.safetensors", "--out", file)
    run_tool("import_scene.py", "--gaussians", file, "--out", tmp_path / "run", "--up", 0, -1, 0)
    (scene, _), original = load_scene(tmp_path / "run" / "scene.safetensors"), street_scene(16)
    assert scene.gaussians.num == original.gaussians.num
    one, two = (torch.stack([part.gaussians.means.amin(0), part.gaussians.means.amax(0)]) for part in (scene, original))
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # the shortest turn of -y to z leaves "ahead" at y
    corners = torch.sort(two @ turn.T, dim=0).values
    torch.testing.assert_close(torch.sort(one, dim=0).values, corners, atol=0.02, rtol=0)


def test_wrong_input_ends_in_one_line_and_writes_nothing(exported: Path, tmp_path: Path) -> None:
    ply, out = exported / "point_cloud.ply", tmp_path / "run"
    cameras, images = exported / "cameras.json", exported / "drive" / "images"
    short = tmp_path / "short.json"
    entries = json.loads(cameras.read_text())
    short.write_text(json.dumps([entry | {"img_name": "elsewhere.png"} for entry in entries[:1]]))
    for arguments, match in (
        (("--gaussians", tmp_path / "none.ply"), "no such file"),
        (("--gaussians", ply, "--images", images), "--cameras too"),
        (("--gaussians", ply, "--cameras", short, "--images", images), "no image for camera 'elsewhere.png'"),
        (("--gaussians", ply, "--cameras", cameras, "--match", "x*"), "fits none"),
        (("--gaussians", ply, "--background", 2, 0, 0), "between 0 and 1"),
        (("--gaussians", ply, "--scale", 0), "positive number"),
        (("--drivestudio", ply), "cannot be loaded"),
    ):
        with pytest.raises(InputError, match=match) as caught:
            run_tool("import_scene.py", *arguments, "--out", out)
        assert "\n" not in str(caught.value) and not out.exists()
    for arguments, match in ((("--time", -1), "--time"), (("--clip", exported / "drive", "--camera", "7"), "--camera")):
        with pytest.raises(InputError, match=match):
            scene = exported / "scene.safetensors"
            run_tool("export_scene.py", "--scene_checkpoint", scene, "--out", tmp_path / "a.ply", *arguments)
