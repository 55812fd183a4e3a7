"""What is found in the folder of a run, and what is said when something is missing."""

import runpy
import shutil
import sys
from pathlib import Path

import pytest

from faithfusion.scene.graph import gaussians_at
from faithfusion.scene.ply import export_ply
from faithfusion.scene.scene_file import load_scene, save_scene
from faithfusion.utils.errors import InputError
from faithfusion.viewer.render import draw
from faithfusion.viewer.run_folder import Run, open_run, scene_files
from faithfusion.viewer.state import ViewState

TOOL = Path(__file__).resolve().parents[2] / "tools" / "view.py"


def test_a_refinement_has_a_scene_before_and_after(run: Run, run_folder: Path) -> None:
    assert list(run.versions) == ["before", "after"]
    assert run.camera_name == "1" and run.clip.camera_names == ("0", "1") and run.clip.num_frames == 5
    assert "calibration" in run.versions["before"].metadata
    assert {name: path.name for name, path in scene_files(run_folder).items()} == {
        "before": "scene_calibrated.safetensors",
        "after": "scene_stage_1.safetensors",
    }


def test_the_last_stage_is_the_one_with_the_largest_number(tmp_path: Path) -> None:
    for name in ("scene_stage_2", "scene_stage_10", "scene_fitted", "scene"):
        (tmp_path / f"{name}.safetensors").touch()
    found = {name: path.stem for name, path in scene_files(tmp_path).items()}
    assert found == {"before": "scene_fitted", "after": "scene_stage_10"}


def test_a_reconstruction_and_a_file_need_the_drive(run_folder: Path, tmp_path: Path) -> None:
    shutil.copy(run_folder / "scene_stage_1.safetensors", tmp_path / "scene.safetensors")
    for path in (tmp_path, tmp_path / "scene.safetensors"):
        with pytest.raises(InputError, match="--clip"):
            open_run(path)
        assert list(open_run(path, clip_root=run_folder / "drive").versions) == ["scene"]


def test_a_ply_file_is_shown_without_a_sky(run_folder: Path, tmp_path: Path) -> None:
    scene, _ = load_scene(run_folder / "scene_stage_1.safetensors")
    export_ply(tmp_path / "some.ply", gaussians_at(scene, 0))
    run = open_run(tmp_path / "some.ply", clip_root=run_folder / "drive")
    picture = draw(run, ViewState("scene", "colour", 0, "0", 0.0, (64, 48)), 64, {})
    assert picture.image[24:].std() > 10  # the street
    assert abs(float(picture.image[:4].mean()) - 127.5) < 60  # a grey sky, with leaves and roofs


def test_a_relative_drive_is_meant_from_where_the_run_was_started(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "output" / "mine"
    folder.mkdir(parents=True)
    shutil.copy(run_folder / "scene_stage_1.safetensors", folder / "scene.safetensors")
    shutil.copytree(run_folder / "drive", tmp_path / "drives" / "a")
    (folder / "config.yaml").write_text("out: output/mine\nscene: drives/a\nsome_option_of_later: [1]\n")
    monkeypatch.chdir(run_folder)  # not where it was started
    assert open_run(folder).clip.root == tmp_path / "drives" / "a"


def test_a_scene_of_an_older_version_opens(run_folder: Path, tmp_path: Path) -> None:
    scene, metadata = load_scene(run_folder / "scene_stage_1.safetensors")
    del metadata["assessed_on"]["num_frames"]
    save_scene(tmp_path / "old.safetensors", scene, metadata)
    run = open_run(tmp_path / "old.safetensors", clip_root=run_folder / "drive")
    assert run.versions["scene"].fitted is run.clip


@pytest.mark.parametrize("config", ["out: [", "just a string", ""])
def test_a_damaged_configuration_is_one_line_or_ignored(run_folder: Path, tmp_path: Path, config: str) -> None:
    folder = shutil.copytree(run_folder, tmp_path / "run")
    (folder / "config.yaml").write_text(config)
    if config == "out: [":
        with pytest.raises(InputError) as refusal:
            open_run(folder)
        assert "config.yaml" in str(refusal.value) and "\n" not in str(refusal.value)
    else:
        assert open_run(folder).camera_name == "0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        (["."], "no scene"),
        ([".", "--width", "3"], "--width"),
        ([".", "--port", "0"], "--port"),
        ([".", "--device", "toaster"], "toaster"),
    ],
)
def test_the_tool_refuses_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("viser", reason='needs the extra: pip install -e ".[viewer]"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["view.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL), run_name="__main__")
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1 and message in said


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(InputError, match=r'pip install "faithfusion\[viewer\]"'):
        runpy.run_path(str(TOOL))["main"](["."])


def test_the_benchmark_needs_no_browser(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    runpy.run_path(str(TOOL))["main"]([str(run_folder), "--benchmark", "2", "--width", "64"])
    said = capsys.readouterr().out
    assert (
        all(f"{name} " in said for name in ("colour", "depth", "EIG")) and "64 pixels wide" in said and "load" in said
    )
