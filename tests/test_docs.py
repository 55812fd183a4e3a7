"""The documentation keeps what it says: links lead somewhere, files and options exist, recipes work."""

import contextlib
import dataclasses
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from tiny_generator import tiny_window

from faithfusion.cli.main import COMMANDS
from faithfusion.distill.weights.registry import weight_of
from faithfusion.evaluate.metrics.scored_clip import ScoredClip, Target
from faithfusion.types import WarpedViews
from faithfusion.utils.import_path import imported
from faithfusion.video.editing.editor_config import DEFAULT_COMPOSITE
from faithfusion.video.editors.registry import open_editors
from faithfusion.video.model.codecs.base import build_codec
from faithfusion.video.model.config import CodecConfig

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


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that CONTRIBUTING.md shows, as the working directory."""
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_recipes_of_contributing_work(recipes: Path) -> None:
    window, video = tiny_window(5), torch.rand(1, 3, 5, 16, 16)
    recorded = WarpedViews(torch.rand(2, *window.render.shape), torch.rand(2, *window.depth.shape))
    window = dataclasses.replace(window, warped=recorded)
    editor = open_editors([{"kind": "my_editor.py:CopyEditor", "strength": 0.3}], "cpu").editor(DEFAULT_COMPOSITE)
    edited = editor.edit(window)
    kept = edited.gain == 0.0  # the best known tenth, and what fades into it
    assert 0.1 <= kept.float().mean() < 0.15
    told = window.eig.expected_sq_error
    far = told >= told.flatten().quantile(0.25)
    assert torch.equal(edited.gain[far], 0.3 * recorded.trust[0][far])
    weight = weight_of("my_weight.py:render_error").of(window, edited, None)
    assert weight.shape == window.depth.shape and weight.max() == 1.0
    codec = build_codec(CodecConfig("my_codec.py:PixelCodec", latent_channels=96))
    torch.testing.assert_close(codec.decode(codec.encode(video)), video)
    region = torch.ones(window.depth.shape, dtype=torch.bool)
    target = Target([], window.depth, window.eig.eig_nats, region, truth=window.render)
    brighter = ScoredClip(window.render + 0.25, target)
    assert imported("my_metric.py:WORST_FRAME", "test", "a metric").of(brighter) == pytest.approx(0.25)
    assert imported("my_set.py:MY_SET", "test", "a layout").camera_from_opencv.shape == (4, 4)


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
