"""Draws a new trajectory over a recorded drive from above, without fitting anything."""

from faithfusion.cli.preview_trajectory import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
