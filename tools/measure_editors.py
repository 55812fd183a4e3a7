"""Measures the errors of editors that work one after another. Also `faithfusion measure_editors`."""

from faithfusion.cli.measure_editors import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
