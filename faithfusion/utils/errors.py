"""The one error for bad input, and how tools turn it into one line and exit code 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path


class InputError(ValueError):
    """Something the user gave is wrong: says the file or key, the value found and what was expected."""

    def __init__(self, where: str | Path, found: object, expected: str) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")
        self._parts = (str(where), str(found), expected)

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        """Lets the error come back from another process."""
        return type(self), self._parts


def run_tool(main: Callable[[list[str]], None]) -> None:
    """Runs `main(argv)`; an `InputError` becomes one line on stderr and exit code 2, never a traceback.

    Threads of OpenMP, which torch loads later, sleep where they wait: with another program on the same cores they would
    otherwise spin its time away at every barrier, and a step of the fit took four times longer.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again to continue\n")
        raise SystemExit(130) from None
