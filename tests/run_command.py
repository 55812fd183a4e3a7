"""A command run in this process: no seconds for another Python to import everything."""

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from faithfusion.utils.errors import run_tool


@dataclass(frozen=True)
class Finished:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def run_command(main: Callable[[list[str]], None], *options: object, cwd: Path) -> Finished:
    """Runs `main` as `tools/*.py` do, in the folder `cwd`; what it refuses becomes its exit code."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    argv = [main.__module__, *map(str, options)]
    with contextlib.ExitStack() as inside:
        for context in (contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)):
            inside.enter_context(context)
        inside.enter_context(patch.object(sys, "argv", argv))
        try:
            run_tool(main)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return Finished(code, out.getvalue(), err.getvalue())
