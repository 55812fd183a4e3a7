"""Predicts memory and operations before anything is downloaded. The command is also `faithfusion plan_memory`."""

from faithfusion.cli.plan_memory import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
