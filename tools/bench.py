"""Speed of the parts that run in every step: `python tools/bench.py PART [options]`, `PART --help` lists them."""

from __future__ import annotations

from benchmarks.card import bench_card
from benchmarks.chain import bench_chain
from benchmarks.colors import bench_colors
from benchmarks.eig import bench_eig
from benchmarks.memory import bench_memory
from benchmarks.raster import bench_raster
from benchmarks.sparse import bench_sparse

from faithfusion.utils.errors import InputError, run_tool

PARTS = {
    "raster": bench_raster,
    "eig": bench_eig,
    "memory": bench_memory,
    "card": bench_card,
    "sparse": bench_sparse,
    "chain": bench_chain,
    "colors": bench_colors,
}


def main(argv: list[str]) -> None:
    """Runs one benchmark."""
    part = argv[0] if argv else "nothing"
    if part not in PARTS:
        raise InputError("bench.py", f"part {part}", f"one of {', '.join(PARTS)}")
    PARTS[part](argv[1:])


if __name__ == "__main__":
    run_tool(main)
