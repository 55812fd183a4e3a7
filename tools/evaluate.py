"""Measures a finished run again and writes its report anew. The command is also `faithfusion evaluate`."""

from faithfusion.cli.evaluate import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
