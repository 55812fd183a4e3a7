"""The documentation keeps what it says: its links lead somewhere, its files exist, its commands have these options."""

import contextlib
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from faithfusion.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "ds_configs/README.md"])
LINK = re.compile(r"\]\(([^()\s]+)\)")
SPAN = re.compile(r"`([^`]+)`")
TOP_FOLDERS = "faithfusion|tools|train_video|configs|ds_configs|tests|examples|docs"
ROOMS = "|".join(path.name for path in (ROOT / "faithfusion").iterdir() if (path / "__init__.py").is_file())
NAMED_FILE = re.compile(rf"(?<![\w./])(?:{TOP_FOLDERS}|{ROOMS})(?:/[\w.*+-]+)+\.(?:py|yaml|json|md|ipynb)\b")
COMMAND = re.compile(r"((?:tools|train_video)/(?:bench\.py(?: [a-z]\w+)?|\w+\.py))")
MODULES = {command.script: command.module for group in COMMANDS.values() for command in group}
FENCE = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--[a-z](?:[\w.-]*\w)?")


def read(page: Path) -> str:
    return page.read_text().replace("\\\n", " ")


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_readme_is_short_and_has_both_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 120
    assert "    pip install -e . && python tools/refine_sequence.py\n" in readme
    assert '    pip install -e ".[dev]" && pytest\n' in readme


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for link in LINK.findall(page.read_text()):
            path, _, anchor = link.partition("#")
            if "://" in link:
                continue
            target = page.parent / path if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert not broken


def test_named_files_exist() -> None:
    missing = []
    for page in PAGES:
        for name in NAMED_FILE.findall(read(page)):
            if not any([*ROOT.glob(name), *ROOT.glob(f"faithfusion/{name}")]) and "NAME" not in name:
                missing.append(f"{page.relative_to(ROOT)}: {name}")
    assert not missing


def documented_options() -> dict[str, set[str]]:
    """Options that the pages give to every command; a part of `bench.py` counts as a command of its own."""
    options: dict[str, set[str]] = {}
    for page in PAGES:
        prose = FENCE.sub("", read(page))
        blocks = [line for line in read(page).splitlines() if "`" not in line]
        for text in [*SPAN.findall(prose), *blocks]:
            for command, rest in commands_in(text.split(" # ")[0]):
                options.setdefault(command, set()).update(OPTION.findall(rest))
    return options


def commands_in(text: str) -> list[tuple[str, str]]:
    """Every command in a text, and what follows it up to the next one."""
    parts = COMMAND.split(text)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(("command", "options"), sorted(documented_options().items()))
def test_commands_have_the_options_that_pages_name(
    command: str, options: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    script, *part = command.split()
    with contextlib.suppress(SystemExit):
        import_module(MODULES[script]).main([*part, "--help"])
    known = set(OPTION.findall(capsys.readouterr().out))
    assert known, f"{command} --help prints no options"
    assert options <= known, f"{command} does not know {sorted(options - known)}"


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
