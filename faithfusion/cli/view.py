"""Shows a run in the browser: python tools/view.py RUN

RUN is the folder of tools/refine_sequence.py or tools/reconstruct.py, a scene.safetensors or a PLY file; where it does
not say which drive it belongs to, give --clip DRIVE. Over ssh: ssh -L 8080:localhost:8080 HOST (docs/viewer.md).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from faithfusion.config import parse_config
from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra

CPU_WIDTH, CUDA_WIDTH = 480, 1280


@dataclass(frozen=True)
class ViewOptions:
    """What is shown, and to whom.

    Attributes:
        run: The folder of a run, a scene.safetensors or a PLY file.
        clip: The drive that the scene belongs to. Without it the one is taken that the run names.
        port: The port of the page. If it is taken, the next free one is used.
        host: The address that is listened at; 0.0.0.0 lets other machines in.
        width: The width of a picture at rest in pixels. Without it 480 are drawn on a CPU and 1280 with CUDA.
        device: Where pictures are drawn: auto, cpu or cuda.
        posterior: What EIG keeps per Gaussian, instead of what the run says; "diag" takes less memory.
        benchmark: Times so many pictures without a browser; 0 shows the run.
    """

    run: Path = field(metadata={"positional": True})
    clip: Path | None = None
    port: int = 8080
    host: str = "127.0.0.1"
    width: int | None = None
    device: str = "auto"
    posterior: Literal["block", "diag"] | None = None
    benchmark: int = 0

    def __post_init__(self) -> None:
        for name, lowest in {"width": 16, "port": 1, "benchmark": 0}.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise InputError(f"--{name}", value, f"at least {lowest}")


def main(argv: list[str]) -> None:
    """Opens the run and serves the page until it is interrupted."""
    options = parse_config(ViewOptions, argv, description=__doc__)
    if not options.benchmark:
        require_extra("viewer", "viser")
    # torch's threads wait for each other by spinning; beside a browser on the same cores that costs a factor of ten
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

    from faithfusion.utils.device import choose_device
    from faithfusion.utils.progress import say
    from faithfusion.viewer.run_folder import open_run

    device = choose_device(options.device)
    width = options.width or (CUDA_WIDTH if device.type == "cuda" else CPU_WIDTH)
    run = open_run(options.run, clip_root=options.clip, device=device, posterior=options.posterior)
    if options.benchmark:
        benchmark(run, width, options.benchmark)
        return
    from faithfusion.viewer.server import serve

    say(f"{run.name}: {', '.join(run.versions)}, {run.clip.num_frames} time stamps, cameras {run.clip.camera_names}")
    serve(run, host=options.host, port=options.port, width=width)


def benchmark(run: object, width: int, num_pictures: int) -> None:
    """Prints pictures per second and the load of the machine while they were drawn."""
    import torch

    from faithfusion.viewer.frame_rate import frames_per_second

    rates = frames_per_second(run, width, num_pictures)
    print(f"{width} pixels wide")
    for name, rate in rates.items():
        print(f"{name:<7}{rate.median:5.1f} pictures/s (fastest {rate.best:.1f}), {rate.cpu_s:.2f} s of CPU time each")
    print(
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load of the last minute {os.getloadavg()[0]:.1f}"
    )
