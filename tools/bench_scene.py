"""Compares ways to reconstruct on streets with truth. The command is also `faithfusion bench_scene`."""

from faithfusion.cli.bench_scene import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
