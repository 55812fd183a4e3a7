"""Writes a scene for viewers. The command is also `faithfusion export_scene`."""

from faithfusion.cli.export_scene import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
