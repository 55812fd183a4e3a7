"""Gaussians from tensors of gsplat and nerfstudio against the same ones from a PLY file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from faithfusion.scene.ply import export_ply, import_ply
from faithfusion.scene.user_gaussians import gaussians_from_gsplat, gaussians_from_splatfacto
from faithfusion.types import Gaussians
from faithfusion.utils.errors import InputError


def made(num_harmonics: int = 4) -> Gaussians:
    shapes = {"means": (9, 3), "quats": (9, 4), "log_scales": (9, 3), "opacity_logits": (9,)}
    tensors = {name: torch.randn(*shape) for name, shape in shapes.items()}
    return Gaussians(**tensors, colors=torch.randn(9, num_harmonics, 3))


def splatfacto(gaussians: Gaussians, prefix: str = "") -> dict[str, torch.Tensor]:
    names = {"means": gaussians.means, "quats": gaussians.quats, "scales": gaussians.log_scales}
    names |= {"opacities": gaussians.opacity_logits[:, None], "features_rest": gaussians.colors[:, 1:]}
    return {prefix + name: tensor for name, tensor in (names | {"features_dc": gaussians.colors[:, 0]}).items()}


def assert_same(found: Gaussians, expected: Gaussians) -> None:
    for field in dataclasses.fields(Gaussians):
        torch.testing.assert_close(getattr(found, field.name), getattr(expected, field.name), msg=field.name)


@pytest.mark.parametrize("num_harmonics", [1, 4, 16])
def test_tensors_of_gsplat_are_the_gaussians_of_a_ply(num_harmonics: int, tmp_path: Path) -> None:
    known = made(num_harmonics)
    known = dataclasses.replace(known, quats=torch.nn.functional.normalize(known.quats, dim=1))
    export_ply(tmp_path / "known.ply", known)
    activated = (known.log_scales.exp(), known.opacity_logits.sigmoid())
    found = gaussians_from_gsplat(known.means.requires_grad_(), known.quats, *activated, known.colors)
    assert_same(found, import_ply(tmp_path / "known.ply"))
    assert not found.means.requires_grad


def test_plain_colours_and_full_opacity_are_taken() -> None:
    known, rgb = made(), torch.rand(9, 3)
    found = gaussians_from_gsplat(known.means, known.quats, known.log_scales.exp(), torch.ones(9), rgb)
    torch.testing.assert_close(0.5 + 0.28209479177387814 * found.colors[:, 0], rgb)
    assert (found.opacity_logits > 13.0).all() and torch.isfinite(found.opacity_logits).all()


@pytest.mark.parametrize("prefix", ["", "_model.gauss_params."])
def test_tensors_of_splatfacto_are_taken_as_they_are(prefix: str) -> None:
    known = made()
    others = {"_model.camera_optimizer.pose_adjustment": torch.zeros(2, 6)} if prefix else {}
    assert_same(gaussians_from_splatfacto(splatfacto(known, prefix) | others), known)


def test_splatfacto_of_degree_0_keeps_logits_of_colours() -> None:
    known = made(1)
    found = gaussians_from_splatfacto(splatfacto(known))
    torch.testing.assert_close(0.5 + 0.28209479177387814 * found.colors, known.colors.sigmoid())


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    known = made()
    quats, scales, opacities = known.quats, known.log_scales.exp(), known.opacity_logits.sigmoid()
    with pytest.raises(InputError, match="after exp"):
        gaussians_from_gsplat(known.means, quats, known.log_scales, opacities, known.colors)
    with pytest.raises(InputError, match="after the sigmoid"):
        gaussians_from_gsplat(known.means, quats, scales, known.opacity_logits, known.colors)
    with pytest.raises(InputError, match="quaternions: shape"):
        gaussians_from_gsplat(known.means, quats[:5], scales, opacities, known.colors)
    with pytest.raises(InputError, match="means: NaN"):
        gaussians_from_gsplat(known.means / 0.0, quats, scales, opacities, known.colors)
    with pytest.raises(InputError, match="9 with 5 harmonics"):
        gaussians_from_gsplat(known.means, quats, scales, opacities, torch.zeros(9, 5, 3))
    with pytest.raises(InputError, match="0 tensors named features_dc"):
        gaussians_from_splatfacto({name: t for name, t in splatfacto(known).items() if name != "features_dc"})
