"""The whole ablation on a tiny street with trivial editors: ends, continues, refuses, gains from true pictures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from run_command import run_command

from faithfusion.cli.ablation import main
from faithfusion.config import parse_config
from faithfusion.evaluate.ablation.config import AblationConfig, without_eig
from faithfusion.evaluate.ablation.run import run_ablation
from faithfusion.evaluate.result_files import claim
from faithfusion.street.truth import load_truth, true_shifts
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor import EditedClip

SMALL = """
seeds: [3]
shifts_m: [-2, 2]
weights: [uniform, released, likelihood]
editors: {fixer: [{kind: fixer}], video: [{kind: wan, window_frames: 9}]}
loops:
  3 steps: {weights: [likelihood, oracle], moving_objects: distil, schedule: {steps_per_stage: 3, original_share: 0.2}}
  in stages: {in_stages: true, schedule: {steps_per_stage: 10, original_share: 0.2, step_m: 1, passes: 2}}
refine:
  street: {num_frames: 9, width: 160, height: 96, samples_per_pixel: 1, lidar_beams: 16, lidar_columns: 120,
    camera_names: ["0"], num_moving_cars: 1}
  fit: {steps: 25, half_resolution_steps: 15, initialise: {max_gaussians: 3000, sky_height: 32}}
  settle_steps: 2
  distill: {schedule: {steps_per_stage: 20, original_share: 0.2}}
"""


class TrueEditor:
    """Knows the street: returns the truth of the shift whose render is nearest to it."""

    def __init__(self, drive: Path) -> None:
        self.drive, self.calls = drive, 0

    def edit(self, window: Window) -> EditedClip:
        self.calls += 1
        shifts_m = [shift_m for shift_m in true_shifts(self.drive) if shift_m != 0]
        count = len(window.render)
        clips = [torch.stack([load_truth(self.drive, at, "0", t).color for t in range(count)]) for at in shifts_m]
        truth = min(clips, key=lambda clip: float((clip - window.render).abs().mean()))
        return EditedClip(truth, truth, *torch.ones(2, *truth.shape[:3]))


class DarkEditor:
    """Returns the render at half its brightness where it is not known."""

    def edit(self, window: Window) -> EditedClip:
        gain = (window.eig.expected_sq_error > 1e-3).float()
        return EditedClip(window.render * (1 - 0.5 * gain[..., None]), 0.5 * window.render, gain, gain)


def dark(name: str) -> DarkEditor:
    return DarkEditor()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> AblationConfig:
    folder = tmp_path_factory.mktemp("ablation")
    (folder / "small.yaml").write_text(SMALL)
    return parse_config(AblationConfig, ["--config", str(folder / "small.yaml"), "--out", str(folder / "out")])


@pytest.mark.slow
def test_a_street_goes_in_and_the_table_comes_out(config: AblationConfig, capsys: pytest.CaptureFixture) -> None:
    assert config.refine.street.num_workers == 1  # the default of the ablation, not of streets
    out, kept = Path(config.out), dataclasses.replace(config, keep_work=True)
    true = TrueEditor(out / "work" / "street_3" / "drive")
    editors = {"video": true, "fixer": DarkEditor(), without_eig("fixer").editors: DarkEditor()}
    page = run_ablation(kept, editors.__getitem__, identities={"fixer": "dark"}, command="test")
    assert "ablation: 17/17" in capsys.readouterr().err.splitlines()[-1]
    rows = json.loads((out / "street_0003.json").read_text())["rows"]
    keys = {"none", "uniform/fixer_blind", "likelihood/video/3 steps", "oracle/video/3 steps"}
    keys.add("likelihood/video/in stages")
    assert set(rows) == keys | {*(f"{weight}/{name}" for weight in config.weights for name in config.editors)}
    none, best, worst = (rows[key] for key in ("none", "uniform/video", "uniform/fixer"))
    for side in ("-2.00", "+2.00"):
        assert best["video"][side]["psnr_db"] > 70.0  # but for the rounding of the files
        assert worst["video"][side]["psnr_db"] < none["video"][side]["psnr_db"]
        assert best["scene"][side]["psnr_db"] > max(row["scene"][side]["psnr_db"] for row in (none, worst))
        in_stages = rows["likelihood/video/in stages"]["scene"][side]["psnr_db"]
        assert in_stages > none["scene"][side]["psnr_db"]
        assert rows["likelihood/video/3 steps"]["scene"][side] != rows["likelihood/video"]["scene"][side]
        assert none["scene"][side]["psnr_to_render_lowest_eig_decile_db"] > 80.0
        assert none["video"][side]["artefact_flicker"] > 10 * best["video"][side]["artefact_flicker"]
        assert none["video"][side]["flicker"] < best["video"][side]["flicker"]  # blurred: less than the truth has
    assert none["lane"]["psnr_db"] == none["lane"]["psnr_db all cameras"] > 10.0
    assert (out / "street_0003_-2m.png").stat().st_size > 0
    assert "2 m to the side, distilled scene" in page.read_text()

    first, calls = (out / "street_0003.json").read_text(), true.calls
    (out / "street_0003.json").unlink()  # killed in the last row
    (out / "work" / "street_3" / "scores_likelihood_video_3 steps.json").unlink()
    run_ablation(config, editors.__getitem__, identities={"fixer": "dark"}, command="test")
    again = json.loads((out / "street_0003.json").read_text())
    assert again["rows"] == json.loads(first)["rows"]
    assert true.calls == calls
    assert not (out / "work" / "street_3").exists()


@pytest.mark.slow
def test_other_settings_refuse_to_continue(config: AblationConfig) -> None:
    assert (Path(config.out) / "street_0003.json").is_file()
    refine = dataclasses.replace(config.refine, settle_steps=3)
    with pytest.raises(InputError, match="refine.settle_steps: 2, asked for 3"):
        run_ablation(dataclasses.replace(config, refine=refine), dark, identities={"fixer": "dark"}, command="test")


def test_a_street_that_another_process_makes_is_left_to_it(config: AblationConfig, tmp_path: Path) -> None:
    elsewhere = dataclasses.replace(config, out=str(tmp_path))
    with claim(tmp_path / "work" / "street_0003.lock") as ours:
        assert ours
        with pytest.raises(InputError, match="no finished street"):
            run_ablation(elsewhere, dark, identities={"fixer": "dark"}, command="test")
    assert not (tmp_path / "work" / "street_3").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seeds", "[]"), "at least one street"),
        (("--editors", "{mine: [{kind: painter}]}"), "painter"),
        (("--editors", "{mine: [{kind: wan, stepz: 3}]}"), "stepz"),
        (("--editors", "{mine: []}"), "at least one entry"),
        (("--loops", "{a/b: {}}"), "a/b"),
        (("--weights", "[heavy]"), "distill.weight: heavy; expected one of likelihood"),
        (("--loops", "{a: {steps: 3}}"), "loops.steps: no such option"),
        (("--loops", "{a: {schedule: {passes: 2}}}"), "passes: 2; expected in_stages"),
        (("--loops", "{a: {weights: [eig, eig]}}"), "weights: ['eig', 'eig']; expected each once"),
        (
            ("--shifts_m", "[-6, 6]", "--loops", "{a: {weights: [oracle], in_stages: true}}"),
            "oracle at -3 m, +3 m on the way",
        ),
        (("--refine.distill.schedule.passes", "2"), "in_stages"),
        (("--shifts_m", "[9]"), "9"),
        (("--refine.scene", "somewhere"), "somewhere"),
        (("--refine.camera", "2"), "2"),
        (("--refine.cameras", '["0"]'), "refine.cameras"),
        (("--refine.split.held_out_every", "1"), "held_out_every: 1"),
        (("--refine.street.num_frames", "9"), "at most the clip's 9 frames"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_written(
    options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError) as refusal:
        main(["--out", str(out), *options])
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
    assert not out.exists()


def test_the_tool_refuses_with_exit_code_2(tmp_path: Path) -> None:
    result = run_command(main, "--out", tmp_path / "out", "--seeds", "[1, 1]", cwd=tmp_path)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ablation.seeds")
    assert not (tmp_path / "out").exists()
