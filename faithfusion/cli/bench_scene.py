"""Compares ways to reconstruct on streets with truth, by kind of surface: road, markings, vehicles, people, the rest.

python tools/bench_scene.py --variants '[configs/scene/variants/ground_neighbours.yaml, ...]' --out output/bench_scene
Writes README.md with one line per variant into the folder. A killed run continues with the same command.
"""

import sys
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.evaluate.benchmark_config import SceneBenchmarkConfig
from faithfusion.evaluate.scene_benchmark import markdown_table, run_scene_benchmark
from faithfusion.utils.atomic import atomic_file, require_writable


def main(argv: list[str]) -> None:
    config = parse_config(SceneBenchmarkConfig, argv, description=__doc__)
    require_writable(Path(config.out))
    table = markdown_table(run_scene_benchmark(config))
    with atomic_file(Path(config.out) / "README.md") as temporary:
        temporary.write_text(f"Made by `{' '.join(['python', *sys.argv])}`; PSNR in dB.\n\n{table}")
    print(table)
