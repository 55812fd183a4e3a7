"""Compares ways to reconstruct on streets with truth, by kind of surface: road, markings, vehicles, people, the rest.

python tools/bench_scene.py --variants configs/scene/variants/*.yaml --out output/bench_scene

It writes README.md with one line per variant into the folder. A killed run continues with the same command.
"""

from __future__ import annotations

from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.evaluate.benchmark_config import SceneBenchmarkConfig
from faithfusion.utils.called import command_line


def main(argv: list[str]) -> None:
    """Runs the benchmark, writes and prints its table."""
    config = parse_config(SceneBenchmarkConfig, argv, description=__doc__)

    from faithfusion.evaluate.scene_benchmark import markdown_table, run_scene_benchmark
    from faithfusion.utils.atomic import atomic_file, require_writable

    require_writable(Path(config.out))
    table = markdown_table(run_scene_benchmark(config))
    with atomic_file(Path(config.out) / "README.md") as temporary:
        temporary.write_text(f"Made by `{command_line()}`; PSNR in dB.\n\n{table}")
    print(table)
