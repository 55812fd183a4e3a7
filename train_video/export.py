"""Writes a checkpoint as one file that editors open. The command is also `faithfusion export`."""

from faithfusion.cli.export_weights import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
