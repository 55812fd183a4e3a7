"""From a recorded drive to a lane-shift video, an improved Gaussian scene and a report."""

from faithfusion.cli.refine_sequence import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
