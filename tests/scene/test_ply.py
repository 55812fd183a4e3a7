"""PLY files: the round trip renders the same, the bytes are those of 3DGS, other writers and readers agree."""

import dataclasses
from pathlib import Path

import gsplat
import gsply
import numpy as np
import pytest
import torch
from reference.splats import DEGREES, image_error, splat_cloud

from faithfusion.scene.compressed_ply import CHUNK_SIZE, spatial_order
from faithfusion.scene.graph import GAUSSIAN_FIELDS as FIELDS
from faithfusion.scene.ply import export_ply, import_ply
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import SH_0


def parse_plain(path: Path) -> tuple[list[str], np.ndarray]:
    """Names and rows of a float32 little-endian PLY, by hand."""
    header, body = path.read_bytes().split(b"end_header\n", 1)
    lines = header.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    assert lines[2].startswith("element vertex ") and all(line.startswith("property float ") for line in lines[3:])
    names = [line.split()[-1] for line in lines[3:]]
    return names, np.frombuffer(body, dtype="<f4").reshape(int(lines[2].split()[-1]), len(names))


@pytest.mark.parametrize("bases", DEGREES)
def test_round_trip_renders_the_same(tmp_path: Path, bases: int) -> None:
    gaussians = splat_cloud(bases)
    export_ply(tmp_path / "scene.ply", gaussians)
    loaded = import_ply(tmp_path / "scene.ply")
    assert image_error(gaussians, loaded)[0] < 1e-4
    for name in FIELDS:
        expected = getattr(gaussians, name)
        expected = torch.nn.functional.normalize(expected, dim=-1) if name == "quats" else expected
        torch.testing.assert_close(getattr(loaded, name), expected)


def test_absent_gaussians_are_not_written(tmp_path: Path) -> None:
    gaussians = splat_cloud(1, num=7)
    gaussians.opacity_logits[2] = -1e4
    export_ply(tmp_path / "scene.ply", gaussians)
    assert torch.equal(import_ply(tmp_path / "scene.ply").means, gaussians.means[[0, 1, 3, 4, 5, 6]])


@pytest.mark.parametrize("bases", DEGREES)
def test_fields_and_order_are_those_of_3dgs(tmp_path: Path, bases: int) -> None:
    gaussians = splat_cloud(bases, num=11)
    export_ply(tmp_path / "scene.ply", gaussians)
    names, rows = parse_plain(tmp_path / "scene.ply")
    rest = [f"f_rest_{i}" for i in range(3 * (bases - 1))]
    expected = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *rest, "opacity"]
    assert names == [*expected, "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    table = dict(zip(names, rows.T, strict=True))
    for channel in range(3):
        np.testing.assert_array_equal(table[f"f_dc_{channel}"], gaussians.colors[:, 0, channel])
        for k in range(1, bases):  # all coefficients of red, then green, then blue
            stored = table[f"f_rest_{channel * (bases - 1) + k - 1}"]
            np.testing.assert_array_equal(stored, gaussians.colors[:, k, channel])
    np.testing.assert_array_equal(table["opacity"], gaussians.opacity_logits)
    quats = np.stack([table[f"rot_{i}"] for i in range(4)], 1)
    np.testing.assert_allclose(np.linalg.norm(quats, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(quats * gaussians.quats.norm(dim=1, keepdim=True).numpy(), gaussians.quats, atol=1e-6)


def test_other_orders_types_and_extra_columns_are_read(tmp_path: Path) -> None:
    gaussians = splat_cloud(4, num=9)
    export_ply(tmp_path / "scene.ply", gaussians)
    names, rows = parse_plain(tmp_path / "scene.ply")
    order = list(reversed(names))
    for byte_order, word in (("<", "little"), (">", "big")):
        types = {name: "double" if name.startswith("f_dc") else "float32" for name in order} | {"red": "uchar"}
        letters = {"double": "f8", "float32": "f4", "uchar": "u1"}
        table = np.zeros(len(rows), [(name, byte_order + letters[kind]) for name, kind in types.items()])
        for name, column in zip(names, rows.T, strict=True):
            table[name] = column
        header = f"ply\nformat binary_{word}_endian 1.0\ncomment by hand\nelement vertex {len(rows)}\n"
        header += "".join(f"property {kind} {name}\n" for name, kind in types.items()) + "end_header\n"
        (tmp_path / "other.ply").write_bytes(header.encode() + table.tobytes())
        loaded, expected = import_ply(tmp_path / "other.ply"), import_ply(tmp_path / "scene.ply")
        assert all(torch.equal(getattr(loaded, name), getattr(expected, name)) for name in FIELDS)


@pytest.mark.parametrize("bases", [1, 16])
def test_files_of_gsplat_are_read(tmp_path: Path, bases: int) -> None:
    gaussians = splat_cloud(bases)
    parts = (gaussians.means, gaussians.log_scales, gaussians.quats.clone(), gaussians.opacity_logits)
    colors = (gaussians.colors[:, :1], gaussians.colors[:, 1:])
    gsplat.export_splats(*parts, *colors, format="ply", save_to=str(tmp_path / "theirs.ply"))
    assert image_error(gaussians, import_ply(tmp_path / "theirs.ply"))[0] < 1e-4
    gsplat.export_splats(*parts, *colors, format="ply_compressed", save_to=str(tmp_path / "theirs.compressed.ply"))
    assert image_error(gaussians, import_ply(tmp_path / "theirs.compressed.ply"))[1] > 40.0


@pytest.mark.parametrize("suffix", [".ply", ".compressed.ply"])
@pytest.mark.parametrize("bases", [1, 9])
def test_gsply_reads_ours_as_we_do(tmp_path: Path, bases: int, suffix: str) -> None:
    path = tmp_path / f"scene{suffix}"
    export_ply(path, splat_cloud(bases, num=300))
    theirs, ours = gsply.plyread(path), import_ply(path)
    np.testing.assert_allclose(theirs.means, ours.means, atol=1e-5)
    np.testing.assert_allclose(theirs.scales, ours.log_scales, atol=1e-5)
    np.testing.assert_allclose(theirs.quats, ours.quats, atol=1e-5)
    np.testing.assert_allclose(theirs.sh0, ours.colors[:, 0], atol=1e-5)
    np.testing.assert_allclose(theirs.shN, ours.colors[:, 1:], atol=1e-5)
    inside = ours.opacity_logits.abs() < 5.0  # at the ends of the byte each reader chooses its own finite logit
    np.testing.assert_allclose(theirs.opacities[inside], ours.opacity_logits[inside], atol=1e-4)


def test_compressed_ply_keeps_to_its_quantisation(tmp_path: Path) -> None:
    gaussians = splat_cloud(16)
    path = tmp_path / "scene.compressed.ply"
    export_ply(path, gaussians)
    order = torch.from_numpy(spatial_order(gaussians.means.numpy()))
    loaded = import_ply(path)
    for start in range(0, gaussians.num, CHUNK_SIZE):
        chunk = slice(start, start + CHUNK_SIZE)
        pick = order[chunk]
        for name, levels in (("means", 1023), ("log_scales", 1023)):
            values = getattr(gaussians, name)[pick]
            step = (values.amax(0) - values.amin(0)) / levels
            assert ((getattr(loaded, name)[chunk] - values).abs() <= 0.51 * step).all(), name
        rgb, stored = (SH_0 * colors[:, 0] for colors in (gaussians.colors[pick], loaded.colors[chunk]))
        assert ((stored - rgb).abs() <= 0.51 * (rgb.amax(0) - rgb.amin(0)) / 255.0).all()
        assert (loaded.colors[chunk, 1:] - gaussians.colors[pick, 1:]).abs().max() <= 1.01 / 64.0
    opacity = (loaded.opacity_logits.sigmoid() - gaussians.opacity_logits[order].sigmoid()).abs()
    assert opacity.max() <= 0.51 / 255.0
    turned = torch.nn.functional.normalize(gaussians.quats[order], dim=-1)
    assert 1.0 - (turned * loaded.quats).sum(-1).abs().min() < 2e-6
    assert image_error(gaussians, loaded)[1] > 40.0
    assert path.stat().st_size / gaussians.num < 64.0


def test_compressed_ply_without_bounds_of_colour(tmp_path: Path) -> None:
    """Early files: 12 bounds per chunk, colours between 0 and 1."""
    bounds = np.array([[0, 0, 0, 4, 4, 4, -3, -3, -3, -3, -3, -3]], "<f4")
    position = (2047 << 21) | (1023 << 11) | 0
    rotation = (3 << 30) | (512 << 20) | (512 << 10) | 512  # largest: z; the others are about 0
    words = np.array([[position, rotation, 0, (255 << 24) | (51 << 16) | 128]], "<u4")
    names = [f"{end}_{name}" for group in (("x", "y", "z"), ("scale_x", "scale_y", "scale_z"))
             for end in ("min", "max") for name in group]  # fmt: skip
    header = "ply\nformat binary_little_endian 1.0\nelement chunk 1\n"
    header += "".join(f"property float {name}\n" for name in names) + "element vertex 1\n"
    packed = ("position", "rotation", "scale", "color")
    header += "".join(f"property uint packed_{name}\n" for name in packed) + "end_header\n"
    (tmp_path / "early.ply").write_bytes(header.encode() + bounds.tobytes() + words.tobytes())
    loaded = import_ply(tmp_path / "early.ply")
    torch.testing.assert_close(loaded.means, torch.tensor([[4.0, 4.0, 0.0]]))
    torch.testing.assert_close(loaded.log_scales, torch.full((1, 3), -3.0))
    torch.testing.assert_close(0.5 + SH_0 * loaded.colors[0, 0], torch.tensor([1.0, 0.2, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(loaded.opacity_logits.sigmoid(), torch.tensor([128 / 255]))
    torch.testing.assert_close(loaded.quats, torch.tensor([[0.0, 0, 0, 1]]), atol=1e-3, rtol=0)


def test_rows_that_are_not_finite_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gaussians = splat_cloud(1, num=5)
    gaussians.means[1, 2] = float("nan")
    gaussians.log_scales[3, 0] = float("inf")
    export_ply(tmp_path / "scene.ply", gaussians)
    assert torch.equal(import_ply(tmp_path / "scene.ply").means, gaussians.means[[0, 2, 4]])
    assert "2 of 5 Gaussians" in capsys.readouterr().err


def test_export_leaves_torch_its_threads(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    for suffix in (".ply", ".compressed.ply"):
        export_ply(tmp_path / f"scene{suffix}", splat_cloud(1, num=20))
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda b: b"ply?", "starts with"),
        (lambda b: b[:-3], "cut off"),
        (lambda b: b[: b.index(b"end_header")], "starts with"),
        (lambda b: b.replace(b"binary_little_endian", b"ascii"), "format ascii"),
        (lambda b: b.replace(b"float opacity", b"float opaque"), "no property opacity"),
        (lambda b: b.replace(b"property float f_rest_8\n", b""), "8 properties f_rest"),
        (lambda b: b.replace(b"element vertex", b"element face"), "tables face"),
        (lambda b: b.replace(b"float nx", b"list uchar int nx"), "list uchar"),
        (lambda b: b.replace(b"float nx", b"float128 nx"), "float128"),
        (lambda b: b.replace(b"element vertex 6", b"element vertex 0"), "0 Gaussians"),
    ],
)
def test_bad_files_end_in_one_line(tmp_path: Path, change: object, found: str) -> None:
    export_ply(tmp_path / "scene.ply", splat_cloud(4, num=6))
    (tmp_path / "bad.ply").write_bytes(change((tmp_path / "scene.ply").read_bytes()))
    with pytest.raises(InputError, match=found) as caught:
        import_ply(tmp_path / "bad.ply")
    assert "bad.ply" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_and_broken_compressed_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        import_ply(tmp_path / "none.ply")
    path = tmp_path / "scene.compressed.ply"
    export_ply(path, splat_cloud(4, num=600))
    content = path.read_bytes()
    for change, found in (
        (content[:-1], "cut off"),
        (content.replace(b"uint packed_scale", b"uint packed_sizes"), "no property packed_scale"),
        (content.replace(b"element chunk 3", b"element chunk 2"), "2 chunks for 600"),
    ):
        path.write_bytes(change)
        with pytest.raises(InputError, match=found):
            import_ply(path)


def test_wrong_harmonics_are_not_written(tmp_path: Path) -> None:
    cloud = splat_cloud(4, num=3)
    with pytest.raises(InputError, match="2 per colour"):
        export_ply(tmp_path / "scene.ply", dataclasses.replace(cloud, colors=cloud.colors[:, :2]))
    assert not list(tmp_path.iterdir())
