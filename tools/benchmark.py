"""Refines and measures a list of drives in one table. The command is also `faithfusion benchmark`."""

from faithfusion.cli.benchmark import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
