"""SPZ and .splat files: axes, quantisation, and files of other writers."""

import gzip
import struct
from pathlib import Path

import gsplat
import gsply
import numpy as np
import pytest
import torch
from reference.raster import quaternion_rotation
from reference.splats import DEGREES, image_error, splat_cloud

from faithfusion.scene.gsply_rows import to_gsply
from faithfusion.scene.ply import visible_rows
from faithfusion.scene.splat_files import export_gaussians, import_gaussians
from faithfusion.types import Gaussians
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import SH_0


def covariances(gaussians: Gaussians) -> torch.Tensor:
    root = quaternion_rotation(gaussians.quats) * gaussians.log_scales.exp()[:, None]
    return root @ root.transpose(1, 2)


@pytest.mark.parametrize("bases", DEGREES)
def test_spz_keeps_to_its_quantisation(tmp_path: Path, bases: int) -> None:
    gaussians = splat_cloud(bases)
    export_gaussians(tmp_path / "scene.spz", gaussians)
    loaded = import_gaussians(tmp_path / "scene.spz")
    assert (loaded.means - gaussians.means).abs().max() <= 0.51 / 4096
    assert (loaded.log_scales - gaussians.log_scales).abs().max() <= 0.51 / 16
    assert (loaded.opacity_logits.sigmoid() - gaussians.opacity_logits.sigmoid()).abs().max() <= 0.51 / 255
    assert (SH_0 * (loaded.colors[:, 0] - gaussians.colors[:, 0])).abs().max() <= 0.51 * SH_0 / (0.15 * 255)
    if bases > 1:  # 1 itself is the byte 256 that is not there
        assert (loaded.colors[:, 1:] - gaussians.colors[:, 1:]).abs().max() <= 1.01 / 128
    axes = quaternion_rotation(loaded.quats) - quaternion_rotation(gaussians.quats)
    half_turns = quaternion_rotation(gaussians.quats) * torch.tensor([1.0, -1.0, -1.0])  # the same ellipsoid
    axes = torch.minimum(axes.abs().amax((1, 2)), (quaternion_rotation(loaded.quats) - half_turns).abs().amax((1, 2)))
    assert axes.max() < 5e-3
    largest, psnr_db = image_error(gaussians, loaded)
    assert largest < 0.03 and psnr_db > 48.0


def test_spz_axes_are_right_up_back(tmp_path: Path) -> None:
    """What lies below (PLY: y down) and in front (z) has a negative y and z in the file; colours follow."""
    gaussians = splat_cloud(4, num=3)
    gaussians.means[:] = torch.tensor([1.0, 2.0, 3.0])
    gaussians.colors[:, 1:] = 0.0
    gaussians.colors[:, 1, 0] = 0.5  # red grows towards -y
    export_gaussians(tmp_path / "scene.spz", gaussians)
    raw = gsply.read_spz(tmp_path / "scene.spz")
    np.testing.assert_allclose(raw.means, [[1.0, -2.0, -3.0]] * 3)
    np.testing.assert_allclose(raw.shN[:, 0, 0], -0.5)
    as_it_is = import_gaussians(tmp_path / "scene.spz", spz_axes="rdf")
    np.testing.assert_allclose(as_it_is.means, raw.means)


@pytest.mark.parametrize("version", [3, 4])
def test_spz_of_gsply_is_turned_as_a_whole(tmp_path: Path, version: int) -> None:
    """A file made from axes right, up, back: the half turn by hand gives what is read."""
    stored = splat_cloud(9, num=300)
    gsply.write_spz(tmp_path / "scene.spz", to_gsply(visible_rows(stored)), version=version)
    loaded = import_gaussians(tmp_path / "scene.spz")
    flip = torch.tensor([1.0, -1.0, -1.0])
    torch.testing.assert_close(loaded.means, stored.means * flip, atol=2e-4, rtol=0)
    ratio = covariances(loaded) / (covariances(stored) * flip[:, None] * flip)
    assert (ratio.diagonal(dim1=1, dim2=2) - 1.0).abs().max() < 0.15  # log scales in steps of 1/16


def test_spz_beyond_its_range_stays_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gaussians = splat_cloud(4, num=50)
    gaussians.means[7] = torch.tensor([30_000.0, -5000.0, 12.0])
    gaussians.colors[3, 1, 0] = 1.7
    export_gaussians(tmp_path / "scene.spz", gaussians)
    loaded = import_gaussians(tmp_path / "scene.spz")
    assert (loaded.means - gaussians.means).abs().max() <= 0.51 / 256  # 24 bits over 32768 units to either side
    assert "1 of 50 Gaussians exceed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "starts with"),
        (b"text that is no splat file at all", "starts with"),
        (b"\x1f\x8b\x08", "damaged"),
        (gzip.compress(b"something else entirely", mtime=0), "starts with"),
        (gzip.compress(struct.pack("<IIIBBBB", 0x5053474E, 3, 10, 0, 12, 0, 0), mtime=0), "too small"),
        (gzip.compress(struct.pack("<IIIBBBB", 0x5053474E, 3, 10, 4, 12, 0, 0), mtime=0), "SH degree 4"),
        (struct.pack("<IIIBBBBI", 0x5053474E, 4, 10, 0, 12, 0, 5, 32) + bytes(12), "out of bounds"),
    ],
)
def test_bad_spz_ends_in_one_line(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "bad.spz").write_bytes(content)
    with pytest.raises(InputError, match=found) as caught:
        import_gaussians(tmp_path / "bad.spz")
    assert "bad.spz" in str(caught.value) and "\n" not in str(caught.value)


def test_cut_off_spz_is_refused(tmp_path: Path) -> None:
    export_gaussians(tmp_path / "scene.spz", splat_cloud(4))
    content = (tmp_path / "scene.spz").read_bytes()
    (tmp_path / "scene.spz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"scene\.spz"):
        import_gaussians(tmp_path / "scene.spz")


def test_spz_says_what_it_does_not_follow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_gaussians(tmp_path / "scene.spz", splat_cloud(1, num=4))
    content = bytearray(gzip.decompress((tmp_path / "scene.spz").read_bytes()))
    content[14] = 3
    (tmp_path / "scene.spz").write_bytes(gzip.compress(bytes(content)))
    import_gaussians(tmp_path / "scene.spz")
    said = capsys.readouterr().err
    assert "extensions are not read" in said and "anti-aliased" in said


def test_splat_round_trip_and_gsplat(tmp_path: Path) -> None:
    gaussians = splat_cloud(1)
    export_gaussians(tmp_path / "scene.splat", gaussians)
    assert (tmp_path / "scene.splat").stat().st_size == 32 * gaussians.num
    assert image_error(gaussians, import_gaussians(tmp_path / "scene.splat"))[1] > 42.0
    parts = (gaussians.means, gaussians.log_scales, gaussians.quats.clone(), gaussians.opacity_logits)
    colors = (gaussians.colors[:, :1], gaussians.colors[:, 1:])
    gsplat.export_splats(*parts, *colors, format="splat", save_to=str(tmp_path / "theirs.splat"))
    assert image_error(gaussians, import_gaussians(tmp_path / "theirs.splat"))[1] > 40.0


def test_splat_of_a_wrong_size_and_unknown_suffixes(tmp_path: Path) -> None:
    (tmp_path / "scene.splat").write_bytes(bytes(33))
    with pytest.raises(InputError, match="33 bytes"):
        import_gaussians(tmp_path / "scene.splat")
    for suffix in (".splat", ".spz", ".ply"):
        with pytest.raises(InputError, match="no such file"):
            import_gaussians(tmp_path / f"none{suffix}")
    for work in (
        lambda: import_gaussians(tmp_path / "a.obj"),
        lambda: export_gaussians(tmp_path / "a", splat_cloud(1)),
    ):
        with pytest.raises(InputError, match="suffix"):
            work()
