"""The console script `faithfusion`: every tool as a subcommand, imported when it is called."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass
from importlib import import_module

from faithfusion.utils.errors import InputError, run_tool

WIDTH, COLUMN = 110, 22


@dataclass(frozen=True)
class Command:
    """A subcommand. `module` holds its `main(argv)`; `script` is the file that runs the same without installing."""

    name: str
    module: str
    script: str
    text: str


def _tool(tool: str, text: str, name: str = "") -> Command:
    return Command(name or tool, f"faithfusion.cli.{tool}", f"tools/{tool}.py", text)


def _training(script: str, module: str, text: str) -> Command:
    return Command(script, f"faithfusion.cli.{module}", f"train_video/{script}.py", text)


COMMANDS: dict[str, tuple[Command, ...]] = {
    "From a recorded drive to another lane": (
        _tool("refine_sequence", "Makes the video along a new path, an improved scene and a report.", "refine"),
        _tool("reconstruct", "Fits a Gaussian scene to a drive."),
        _tool("evaluate", "Measures a finished run again and writes its report anew."),
        _tool("view", "Shows a run in the browser."),
    ),
    "Drives": (
        _tool("check_scene", "Looks for faults in a drive and says whether it can be used.", "check"),
        _tool("preview_trajectory", "Draws a new path over a drive from above.", "preview"),
        _tool("make_street", "Makes a procedural street with exact truth."),
        _tool("prepare_waymo", "Turns a segment of the Waymo Open Dataset into a drive."),
        _tool("prepare_kitti", "Turns a drive of KITTI raw into a drive of this layout."),
        _tool("prepare_py123d", "Turns a log of py123d into a drive."),
    ),
    "Scenes": (
        _tool("render_eig", "Renders the information gain along a path, or lists the best next views."),
        _tool("import_scene", "Takes Gaussians and cameras of another system."),
        _tool("export_scene", "Writes a scene for viewers."),
    ),
    "Editors and their training": (
        _tool("make_pairs", "Makes training pairs from streets or drives."),
        _training("train", "train_video", "Trains the generator, its codec or the fixer."),
        _training("export", "export_weights", "Writes a checkpoint as one file that editors open."),
        _training("curves", "training_curves", "Draws the curves of training runs."),
        _tool("measure_editors", "Measures the errors of editors that work one after another."),
        _tool("encode_prompt", "Encodes a prompt once for the public weights."),
        _tool("plan_memory", "Predicts memory and operations before anything is downloaded."),
    ),
    "Measurements": (
        _tool("benchmark", "Refines and measures a list of drives, with intervals, in one table."),
        _tool("ablation", "Compares weights, editors and loops on streets with truth."),
        _tool("bench_eig", "Measures EIG against the true error beside the path."),
        _tool("bench_real", "Finds which stage limits recorded drives, against their second camera."),
        _tool("bench_scene", "Compares ways to reconstruct on streets with truth."),
        _tool("calibrate_eig", "Measures the curves from EIG to error that every scene starts from."),
        _tool("bench", "Measures the speed of the parts that run in every step."),
    ),
}


def command_of(name: str) -> Command:
    """The subcommand of this name; the name of its file is taken, too. Raises InputError for an unknown one."""
    every = [command for group in COMMANDS.values() for command in group]
    for command in every:
        if name in (command.name, command.module.rpartition(".")[2]):
            return command
    raise InputError("faithfusion", f"no command {name!r}", f"one of {', '.join(command.name for command in every)}")


def help_page() -> str:
    """All subcommands in groups, with what each does."""
    lines = ["usage: faithfusion COMMAND [OPTIONS]", "", "`faithfusion COMMAND --help` lists the options of a command."]
    for title, commands in COMMANDS.items():
        lines += ["", f"{title}:"]
        for command in commands:
            first, *more = textwrap.wrap(command.text, WIDTH - COLUMN)
            lines += [f"  {command.name}".ljust(COLUMN) + first, *(" " * COLUMN + line for line in more)]
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> None:
    """Runs one subcommand, or prints the list of them."""
    if not argv or argv[0] in ("--help", "-h"):
        sys.stdout.write(help_page())
        return
    import_module(command_of(argv[0]).module).main(argv[1:])


def console() -> None:
    """The entry point of the installed script."""
    run_tool(main)
