"""Shows a run in the browser. The command is also `faithfusion view`."""

from faithfusion.cli.view import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
