"""What EIG costs beside rendering: seconds per view as ratios to one forward + backward, and how they grow."""

from __future__ import annotations

import torch

from faithfusion.cli.speed.raster import covered_pixels, median_s, street_camera, street_cloud
from faithfusion.cli.speed.speed_config import EigCostConfig
from faithfusion.eig.config import EigConfig
from faithfusion.eig.observe import TrainingView, add_view, no_evidence
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import conclude
from faithfusion.eig.variance_polynomials import posterior_roots
from faithfusion.render.render_view import render_view
from faithfusion.scene.scene_file import scene_to
from faithfusion.types import Gaussians, GaussianScene, Sky


def bench_eig(config: EigCostConfig) -> None:
    """Prints one row per size: seconds of forward + backward, of the posterior pass and of the pixel map (each with its
    own render inside), their ratios, and both passes per million Gaussian-pixel pairs."""
    print(f"on {config.device}, {torch.get_num_threads()} threads; {EigConfig().posterior} posterior")
    heads = ["Gaussians", "image", "million pairs", "fwd + bwd s", "posterior s", "ratio", "map s", "ratio"]
    heads += ["posterior s / M pairs", "map s / M pairs", "bytes / Gaussian"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for num, width, height in config.sizes:
        print("| " + " | ".join(measure(num, width, height, config)) + " |", flush=True)


def measure(num: int, width: int, height: int, config: EigCostConfig) -> list[str]:
    """The cells of one row."""
    values = {name: value.to(config.device) for name, value in vars(street_cloud(num)).items()}
    cloud = Gaussians(**{name: value.requires_grad_() for name, value in values.items()})
    scene = GaussianScene(cloud, torch.zeros(num, dtype=torch.int32), (), Sky(torch.full((64, 128, 3), 0.5)))
    scene = scene_to(scene, config.device)
    camera = street_camera(width, height).to(config.device)
    rendering = render_view(scene, camera, 0)

    def forward_backward() -> None:
        result = render_view(scene, camera, 0)
        (result.color.square().mean() + result.depth.mean()).backward()

    eig = EigConfig()
    mask = torch.ones(height, width, dtype=torch.bool)
    view = TrainingView(camera, 0, mask, image=(rendering.color.detach() + 0.05).clamp(0, 1))
    evidence = no_evidence(scene, eig)
    add_view(scene, view, evidence)
    posterior = conclude(scene, evidence)
    both_s = median_s(forward_backward, config.repetitions, config.device)
    posterior_s = median_s(lambda: add_view(scene, view, evidence), config.repetitions, config.device)
    roots = posterior_roots(scene, posterior)
    map_s = median_s(lambda: eig_map(scene, posterior, camera, 0, roots=roots), config.repetitions, config.device)
    pairs = covered_pixels(rendering) / 1e6
    numbers = [pairs, both_s, posterior_s, posterior_s / both_s, map_s, map_s / both_s]
    numbers += [posterior_s / pairs, map_s / pairs]
    stored = posterior.precision[0].numel() * 4 + 4
    return [f"{num}", f"{width}x{height}", *(f"{number:.3f}" for number in numbers), f"{stored}"]
