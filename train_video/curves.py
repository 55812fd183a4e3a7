"""Draws the curves of training runs. The command is also `faithfusion curves`."""

from faithfusion.cli.training_curves import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
