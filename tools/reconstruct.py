"""Fits a Gaussian scene to a drive. The command is also `faithfusion reconstruct`."""

from faithfusion.cli.reconstruct import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
