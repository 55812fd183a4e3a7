"""Shows a run in the browser: python tools/view.py RUN"""

from faithfusion.cli.view import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
