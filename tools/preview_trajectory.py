"""Draws a new path over a drive from above. The command is also `faithfusion preview`."""

from faithfusion.cli.preview_trajectory import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
