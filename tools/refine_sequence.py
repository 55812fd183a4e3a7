"""Makes the video along a new path, an improved scene and a report. The command is also `faithfusion refine`."""

from faithfusion.cli.refine_sequence import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
