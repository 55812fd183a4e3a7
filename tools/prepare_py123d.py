"""Turns a log of py123d into a drive. The command is also `faithfusion prepare_py123d`."""

from faithfusion.cli.prepare_py123d import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
