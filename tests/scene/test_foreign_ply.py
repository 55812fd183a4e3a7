"""PLY files of other programs: what they write differently is read as they mean it, or said in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from faithfusion.scene.plain_ply import MIN_TELLING
from faithfusion.scene.ply import export_ply, import_ply
from faithfusion.scene.splat_files import export_gaussians, import_gaussians
from faithfusion.scene.whole_rows import LARGEST_LOGIT, THIN
from faithfusion.types import Gaussians
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import SH_0
from faithfusion.utils.similarity import Similarity

NUM = 20
FACES = ("element face 2", "property list uchar int vertex_indices")
FACE_BYTES = bytes([3]) + np.arange(3, dtype="<i4").tobytes() + bytes([4]) + np.arange(4, dtype="<i4").tobytes()
LETTERS = {"f4": "float", "f8": "double", "u1": "uchar"}


def table(**changes: np.ndarray | None) -> dict[str, np.ndarray]:
    """Columns of a trained file: small Gaussians of either sign of logit; None takes a column away."""
    random = np.random.default_rng(3)
    columns = {name: random.normal(size=NUM) for name in ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity")}
    columns["opacity"] = 3.0 * columns["opacity"]
    columns |= {f"scale_{i}": random.uniform(-5.0, -1.0, NUM) for i in range(3)}
    columns |= {f"rot_{i}": random.normal(size=NUM) for i in range(4)}
    return {name: column.astype(column.dtype if column.dtype.kind != "f" or name in changes else "f4")
            for name, column in (columns | changes).items() if column is not None}  # fmt: skip


def write(
    path: Path, columns: Mapping[str, np.ndarray], *, before: Sequence[str] = (), body: bytes = b"",
    after: Sequence[str] = (), tail: bytes = b"",
) -> Path:  # fmt: skip
    """A PLY with lines of the header and bytes before and after its vertices."""
    rows = np.zeros(len(columns["x"]), [(name, "<" + column.dtype.str[1:]) for name, column in columns.items()])
    for name, column in columns.items():
        rows[name] = column
    kinds = [f"property {LETTERS[column.dtype.str[1:]]} {name}" for name, column in columns.items()]
    head = ["ply", "format binary_little_endian 1.0", *before, f"element vertex {len(rows)}", *kinds, *after]
    path.write_bytes("\n".join([*head, "end_header", ""]).encode() + body + rows.tobytes() + tail)
    return path


def assert_equal(one: Gaussians, two: Gaussians, *, but: str = "") -> None:
    for name in ("means", "quats", "log_scales", "opacity_logits", "colors"):
        if name != but:
            torch.testing.assert_close(getattr(one, name), getattr(two, name))


@pytest.fixture
def plain(tmp_path: Path) -> Gaussians:
    return import_ply(write(tmp_path / "plain.ply", table()))


def test_opacities_of_0_and_1_stay(tmp_path: Path, plain: Gaussians, capsys: pytest.CaptureFixture[str]) -> None:
    """Their logits overflow in training; a row with NaN is left out alone."""
    logits = table()["opacity"]
    logits[:3] = np.inf, -np.inf, np.nan
    found = import_ply(write(tmp_path / "inf.ply", table(opacity=logits)))
    assert found.num == NUM - 1 and "1 of 20 Gaussians" in capsys.readouterr().err
    assert found.opacity_logits[:2].tolist() == [LARGEST_LOGIT, -LARGEST_LOGIT]
    torch.testing.assert_close(found.opacity_logits[2:], plain.opacity_logits[3:])
    torch.testing.assert_close(found.opacity_logits[:2].sigmoid(), torch.tensor([1.0, 0.0]), atol=1e-6, rtol=0)


def test_discs_get_a_thin_third_axis(tmp_path: Path, plain: Gaussians) -> None:
    found = import_ply(write(tmp_path / "discs.ply", table(scale_2=None)))
    assert_equal(found, plain, but="log_scales")
    torch.testing.assert_close(found.log_scales[:, :2], plain.log_scales[:, :2])
    thickness = (found.log_scales[:, 2] - found.log_scales[:, :2].amin(1)).exp()
    torch.testing.assert_close(thickness, torch.full((NUM,), THIN))


def test_an_axis_of_length_0_becomes_thin_and_a_point_is_left_out(tmp_path: Path) -> None:
    axes = {f"scale_{i}": table()[f"scale_{i}"] for i in range(3)}
    axes["scale_1"][4] = -np.inf
    for axis in axes.values():
        axis[7] = -np.inf
    found = import_ply(write(tmp_path / "flat.ply", table(**axes)))
    assert found.num == NUM - 1
    expected = min(axes["scale_0"][4], axes["scale_2"][4]) + np.log(THIN)
    assert float(found.log_scales[4, 1]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["bytes", "share", "of 255"])
def test_colours_from_red_green_and_blue(tmp_path: Path, kind: str) -> None:
    rgb = np.random.default_rng(5).integers(0, 256, (NUM, 3))
    values = {"bytes": rgb.astype("u1"), "share": (rgb / 255.0).astype("f4"), "of 255": rgb.astype("f4")}[kind]
    colors = dict(zip(("red", "green", "blue"), values.T, strict=True))
    found = import_ply(write(tmp_path / "rgb.ply", table(f_dc_0=None, f_dc_1=None, f_dc_2=None, **colors)))
    shown = 0.5 + SH_0 * found.colors[:, 0]
    torch.testing.assert_close(shown, torch.from_numpy(rgb / 255.0).float(), atol=1e-6, rtol=0)


def test_positions_in_double_precision_lose_nothing_to_map_coordinates(
    tmp_path: Path, plain: Gaussians, capsys: pytest.CaptureFixture[str]
) -> None:
    corner = np.array([450_000.0, 5_400_000.0, 300.0])
    far = {name: table()[name].astype("f8") + corner[axis] for axis, name in enumerate("xyz")}
    path = write(tmp_path / "map.ply", table(**far))
    found = import_gaussians(path, move=Similarity(np.eye(3), -corner))
    assert found.means.dtype == torch.float32 and not capsys.readouterr().err
    torch.testing.assert_close(found.means, plain.means, atol=1e-6, rtol=0)
    assert float((import_gaussians(path).means - torch.from_numpy(corner).float() - plain.means).abs().max()) > 0.05
    assert "float32 rounds them by up to 0." in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"before": FACES, "body": FACE_BYTES},
        {"after": FACES, "tail": FACE_BYTES},
        {"before": ("element face 0", FACES[1])},
        {"before": ("element camera 1", "property float fov", "property int id"), "body": bytes(8)},
    ],
)
def test_tables_of_other_programs_are_passed_over(tmp_path: Path, plain: Gaussians, changes: dict) -> None:
    assert_equal(import_ply(write(tmp_path / "more.ply", table(), **changes)), plain)


def test_a_mesh_is_called_a_mesh(tmp_path: Path) -> None:
    points = {name: table()[name] for name in "xyz"}
    with pytest.raises(InputError, match="a mesh of 2 faces"):
        import_ply(write(tmp_path / "mesh.ply", points, after=FACES, tail=FACE_BYTES))
    with pytest.raises(InputError, match="a cloud of 20 points"):
        import_ply(write(tmp_path / "points.ply", points))
    with pytest.raises(InputError, match="no property rot_3"):
        import_ply(write(tmp_path / "less.ply", table(rot_3=None)))
    with pytest.raises(InputError, match="cut off"):
        import_ply(write(tmp_path / "cut.ply", table(), before=("element face 9000000000", FACES[1]), body=FACE_BYTES))
    for line in ("element camera -1", "element camera", "property float before_any_element"):
        with pytest.raises(InputError, match="header line"):
            import_ply(write(tmp_path / "head.ply", table(), before=(line,)))


@pytest.mark.parametrize(
    ("comment", "warns"),
    [
        ("SplatRenderMode: mip", True),
        ("antialiased 1", True),
        ("rasterize_mode antialiased", True),
        ("Anti-Aliasing: on", True),
        ("antialiased 0", False),
        ("SplatRenderMode: default", False),
        ("made with 3 mipmaps", False),
    ],
)
def test_comments_about_anti_aliasing_are_said(
    tmp_path: Path, comment: str, warns: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    import_ply(write(tmp_path / "scene.ply", table(), before=(f"comment {comment}",)))
    assert ("anti-aliased opacities" in capsys.readouterr().err) == warns


def test_values_after_activation_are_noticed_and_read(
    tmp_path: Path, plain: Gaussians, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = table()
    opacities = 1.0 / (1.0 + np.exp(-raw["opacity"].astype("f8")))
    opacities[0] = 1.0
    scales = {f"scale_{i}": np.exp(raw[f"scale_{i}"].astype("f8")) for i in range(3)}
    path = write(tmp_path / "linear.ply", table(opacity=opacities, **scales))
    import_ply(path)
    assert "--activated scales opacities\n" in capsys.readouterr().err
    found = import_gaussians(path, activated=("scales", "opacities"))
    assert_equal(found, plain, but="opacity_logits")
    torch.testing.assert_close(found.opacity_logits[1:], plain.opacity_logits[1:], atol=1e-4, rtol=0)
    assert float(found.opacity_logits[0]) == LARGEST_LOGIT and not capsys.readouterr().err
    import_ply(write(tmp_path / "one.ply", table(opacity=opacities)))
    assert "--activated opacities\n" in capsys.readouterr().err


def test_few_or_equal_values_tell_nothing_of_activation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_ply(write(tmp_path / "equal.ply", table(opacity=np.full(NUM, 0.5, "f4"))))
    few = {name: column[: MIN_TELLING - 1] for name, column in table(opacity=np.linspace(0.1, 0.9, NUM)).items()}
    import_ply(write(tmp_path / "few.ply", few))
    assert not capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".PLY", ".Compressed.PLY", ".SPZ", ".Splat"])
def test_suffixes_in_capitals(tmp_path: Path, plain: Gaussians, suffix: str) -> None:
    export_gaussians(tmp_path / f"scene{suffix}", plain)
    export_gaussians(tmp_path / f"scene{suffix.lower()}", plain)
    assert (tmp_path / f"scene{suffix}").stat().st_size == (tmp_path / f"scene{suffix.lower()}").stat().st_size
    assert_equal(import_gaussians(tmp_path / f"scene{suffix}"), import_gaussians(tmp_path / f"scene{suffix.lower()}"))


def test_discs_leave_as_gaussians(tmp_path: Path) -> None:
    discs = import_ply(write(tmp_path / "discs.ply", table(scale_2=None)))
    export_ply(tmp_path / "out.ply", discs)
    assert_equal(import_ply(tmp_path / "out.ply"), discs, but="quats")
