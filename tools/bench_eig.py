"""Measures EIG against the true error of rendered views beside the recorded lane, next to the published gain."""

from faithfusion.cli.bench_eig import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
