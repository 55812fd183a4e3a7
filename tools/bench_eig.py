"""Measures EIG against the true error beside the path. The command is also `faithfusion bench_eig`."""

from faithfusion.cli.bench_eig import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
