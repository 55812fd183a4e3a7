"""The walk in its other form: blocks of one pixel, as on CUDA, run on this processor; and CUDA's compiler reads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import warp as wp
from reference.eig_scene import make_camera, make_scene, make_views

from faithfusion.eig import moments, observe, pixel_gain, published, variance_polynomials
from faithfusion.eig.config import EigConfig
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import fit_posterior
from faithfusion.eig.published import hits_per_pixel
from faithfusion.render import splats, warp_kernels
from faithfusion.render.render_view import render_view

MODULES = (splats, warp_kernels, moments, observe, pixel_gain, published, variance_polynomials)


def every_pass() -> dict[str, torch.Tensor]:
    """What each pass over pixels gives for the test scene."""
    scene, camera = make_scene(200), make_camera(0.3)
    for parameter in vars(scene.gaussians).values():
        parameter.requires_grad_()
    rendering = render_view(scene, camera, 0)
    weight = torch.linspace(-1.0, 1.0, rendering.color.numel()).reshape(rendering.color.shape)
    ((rendering.color * weight).sum() + 0.1 * rendering.depth.sum() + rendering.alpha[3:].sum()).backward()
    posterior = fit_posterior(scene, make_views(1), EigConfig())
    gain, seen = eig_map(scene, posterior, camera, 0)
    found = {"color": rendering.color, "depth": rendering.depth, "alpha": rendering.alpha, "gain": gain.eig_nats}
    found |= {"precision": posterior.precision, "hits": hits_per_pixel(seen)}
    found |= {name: parameter.grad for name, parameter in vars(scene.gaussians).items()}
    return {name: value.detach() for name, value in found.items()}


def test_blocks_of_one_pixel_give_what_tiles_give(tmp_path: Path) -> None:
    code = f"""
import sys
import torch
import warp as wp
wp.config.cpu_compiler_flags = "-march=native -DFAITHFUSION_SINGLE_PIXELS"
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from render.test_walk import every_pass
for module in list(sys.modules.values()):
    if getattr(module, "blocks_are_tiles", None) is not None:
        module.blocks_are_tiles = lambda device: False
torch.set_num_threads(1)
torch.save(every_pass(), {str(tmp_path / "pixels.pt")!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    single = torch.load(tmp_path / "pixels.pt", weights_only=True)
    for name, truth in every_pass().items():
        error = (single[name] - truth).norm() / truth.norm()
        assert error < 1e-4, name


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_the_compiler_of_cuda_takes_the_kernels(module: object, tmp_path: Path) -> None:
    """NVRTC comes with Warp and needs no card."""
    wp.init()
    wp.compile_aot_module(module, arch=80, module_dir=tmp_path, use_ptx=True)
    (ptx,) = tmp_path.glob("*.ptx")
    if module is not variance_polynomials:  # whose matrices of 13 x 13 do not fit
        assert ".local" not in ptx.read_text(), "a pixel's buffers must stay in registers"
