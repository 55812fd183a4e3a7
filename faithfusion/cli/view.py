"""Shows a run in the browser: python tools/view.py RUN

RUN is the folder of tools/refine_sequence.py or tools/reconstruct.py, a scene.safetensors or a PLY file; where it does
not say which drive it belongs to, give --clip DRIVE. Over ssh: ssh -L 8080:localhost:8080 HOST (docs/viewer.md).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say

CPU_WIDTH, CUDA_WIDTH = 480, 1280


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a run, scene.safetensors or PLY file")
    parser.add_argument("--clip", type=Path, help="drive in DriveStudio's layout (default: the one the run names)")
    parser.add_argument("--port", type=int, default=8080, help="the next free one from here on is taken")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--width", type=int, help=f"of a picture at rest, pixels (CPU {CPU_WIDTH}, CUDA {CUDA_WIDTH})")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--posterior", choices=("block", "diag"), help="for EIG, instead of the run's; diag is smaller")
    parser.add_argument("--benchmark", type=int, default=0, metavar="N", help="time N pictures, without a browser")
    options = parser.parse_args(argv)
    for name, lowest in {"width": 16, "port": 1, "benchmark": 0}.items():
        value = getattr(options, name)
        if value is not None and value < lowest:
            raise InputError(f"--{name}", value, f"at least {lowest}")
    if not options.benchmark:
        require_viser()
    # torch's threads wait for each other by spinning; beside a browser on the same cores that costs a factor of ten
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

    from faithfusion.utils.device import choose_device
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


def require_viser() -> None:
    """InputError with the remedy if the viewer's extra is not installed."""
    try:
        import viser  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError("viewer", f"no module {error.name!r}", 'the extra: pip install -e ".[viewer]"') from None


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
