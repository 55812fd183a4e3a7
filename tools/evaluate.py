"""Measures a finished run of refine_sequence again and writes its metrics and report anew."""

from faithfusion.cli.evaluate import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
