"""Measures the speed of the parts that run in every step. The command is also `faithfusion bench`."""

from faithfusion.cli.bench import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
