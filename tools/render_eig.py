"""Renders the expected information gain along a new trajectory: a volume in nats and a video with a colour bar."""

from faithfusion.cli.render_eig import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
