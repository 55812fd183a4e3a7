"""Renders the information gain along a path, or lists the best next views. Also `faithfusion render_eig`."""

from faithfusion.cli.render_eig import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
