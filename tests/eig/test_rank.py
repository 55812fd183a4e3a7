"""View-level gain against dense float64 algebra, greedy choice against exhaustive search, and the tool around them."""

from __future__ import annotations

import dataclasses
import json
import math
import runpy
from pathlib import Path

import pytest
import torch
from reference.eig_bruteforce import block_information, color_jacobian, node_poses, world_gaussians
from reference.eig_scene import double_camera, make_camera, make_scene, make_views, to_double
from reference.raster import render_reference
from reference.view_gain import view_gain
from tiny_clip import write_tiny_clip

import faithfusion.eig.rank as rank
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_ego_mask
from faithfusion.data.trajectories import shifted_cameras
from faithfusion.eig.config import EigConfig
from faithfusion.eig.dense_blocks import dense_precision
from faithfusion.eig.observe import TrainingView
from faithfusion.eig.posterior import fit_posterior, prior_precision
from faithfusion.eig.rank import Candidate, clip_candidates, half_log_dets, rank_views, select_views
from faithfusion.scene.initialise import initialise_scene
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.scene.scene_file import save_scene, scene_tensors
from faithfusion.scene.sky import sky_background
from faithfusion.types import Camera, GaussianScene, Sky
from faithfusion.utils.errors import InputError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "render_eig.py"
CONFIG = EigConfig(pixels_per_observation=1.0)


def candidates_at(*shifts_m: float, time_index: int = 0) -> list[Candidate]:
    """One forward camera at several places; the name tells duplicates apart."""
    return [Candidate(str(i), make_camera(s), time_index, s) for i, s in enumerate(shifts_m)]


def observed(candidate: Candidate) -> TrainingView:
    camera = candidate.camera
    mask = torch.ones(camera.height, camera.width, dtype=torch.bool) if candidate.mask is None else candidate.mask
    return TrainingView(camera, candidate.time_index, mask)


def dense_information(scene: GaussianScene, camera: Camera, mask: torch.Tensor) -> torch.Tensor:
    """sigma^-2 J^T J of all Gaussians as one block-diagonal float64 matrix, from whole Jacobians."""
    exact, camera = to_double(scene), double_camera(camera)
    jacobian = color_jacobian(exact, camera, 0, sky_background(exact.sky, camera))
    return torch.block_diag(*block_information(jacobian, mask.double())) / CONFIG.noise_std**2


def texel_information(scene: GaussianScene, camera: Camera, mask: torch.Tensor) -> list[float]:
    """What every texel gains, each from a sky that is 1 in this texel only: sum of T^2 times its weight."""
    exact, camera = to_double(scene), double_camera(camera)
    world = world_gaussians(exact, node_poses(exact, 0))
    alpha = render_reference(world, camera, sky_background(exact.sky, camera))[2]
    seen_through = (1.0 - alpha).square() * mask / CONFIG.noise_std**2
    gains = []
    for texel in range(exact.sky.texture[..., 0].numel()):
        texture = torch.zeros_like(exact.sky.texture)
        texture.view(-1, 3)[texel] = 1.0
        gains.append(float((seen_through * sky_background(Sky(texture), camera)[..., 0]).sum()))
    return gains


def exhaustive_greedy(
    scene: GaussianScene, seen: list[TrainingView], candidates: list[Candidate], config: EigConfig, count: int
) -> list[tuple[str, float]]:
    """Names and marginal gains; every candidate is evaluated in every round, with posteriors fitted anew."""
    left, chosen = list(candidates), []
    for _ in range(count):
        before, gains = fit_posterior(scene, seen, config), []
        for candidate in left:
            after = fit_posterior(scene, [*seen, observed(candidate)], config)
            sky = 1.5 * (after.sky_precision.double() / before.sky_precision.double()).log().sum()
            gains.append(float(view_gain(scene, before, observed(candidate))[0].sum() + sky))
        best = max(range(len(left)), key=gains.__getitem__)
        chosen.append((left[best].name, gains[best]))
        seen = [*seen, observed(left.pop(best))]
    return chosen


def test_the_gain_equals_dense_determinants_and_a_sum_over_texels() -> None:
    scene, (train,) = make_scene(4), make_views(1)  # the fourth is on a turned node
    mask = torch.ones_like(train.mask)
    mask[:5, 7:] = False
    new = dataclasses.replace(candidates_at(0.5)[0], mask=mask)
    (ranked,) = rank_views(scene, fit_posterior(scene, [train], CONFIG), [new])
    prior = prior_precision(scene.gaussians, CONFIG).double().flatten().diag()
    before = prior + dense_information(scene, train.camera, train.mask)
    after = before + dense_information(scene, new.camera, mask)
    gaussians = 0.5 * (torch.linalg.slogdet(after)[1] - torch.linalg.slogdet(before)[1])
    sky = 0.0
    seen, added = (texel_information(scene, v.camera, m) for v, m in ((train, train.mask), (new, mask)))
    for seen_texel, added_texel in zip(seen, added, strict=True):
        sky += 0.5 * 3 * math.log(1.0 + added_texel / (CONFIG.prior_color**-2 + seen_texel))
    assert gaussians > 1.0
    assert sky > 1.0
    assert ranked.gain_nats == pytest.approx(float(gaussians) + sky, rel=1e-4)
    assert ranked.marginal_nats == ranked.gain_nats


@pytest.mark.parametrize("kind", ["block", "diag"])
def test_lazy_greedy_equals_exhaustive_greedy(kind: str) -> None:
    scene, config = make_scene(), dataclasses.replace(CONFIG, posterior=kind)
    seen = make_views(1)
    candidates = candidates_at(-1.5, 1.6, 0.1, 1.6, -1.5, 0.8, -1.4, 0.0, 1.5)
    posterior = fit_posterior(scene, seen, config)
    chosen = select_views(scene, posterior, candidates, 5)
    expected = exhaustive_greedy(scene, seen, candidates, config, 5)
    assert [view.candidate.name for view in chosen] == [name for name, _ in expected]
    assert [view.marginal_nats for view in chosen] == pytest.approx([gain for _, gain in expected], rel=1e-4)
    static = rank_views(scene, posterior, candidates)
    assert [view.candidate.name for view in chosen] != [view.candidate.name for view in static[:5]]
    alone = {view.candidate.name: view.gain_nats for view in static}
    assert all(view.gain_nats == alone[view.candidate.name] for view in chosen)


def test_view_dependent_colours_are_ranked_too() -> None:
    scene, seen = make_scene(), make_views(1)
    colors = torch.cat([scene.gaussians.colors, 0.1 * torch.randn(20, 3, 3)], 1)
    scene = dataclasses.replace(scene, gaussians=dataclasses.replace(scene.gaussians, colors=colors))
    candidates = candidates_at(-1.5, 1.6, 1.6)
    chosen = select_views(scene, fit_posterior(scene, seen, CONFIG), candidates, 3)
    expected = exhaustive_greedy(scene, seen, candidates, CONFIG, 3)
    assert [view.candidate.name for view in chosen] == [name for name, _ in expected]
    assert [view.marginal_nats for view in chosen] == pytest.approx([gain for _, gain in expected], rel=1e-4)


def test_candidates_that_cannot_win_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, looks, look = make_scene(), [], rank._view_gives

    def counted(scene: GaussianScene, candidate: Candidate, *rest: object) -> rank.ViewInformation:
        looks.append(candidate.name)
        return look(scene, candidate, *rest)

    monkeypatch.setattr(rank, "_view_gives", counted)
    small = torch.zeros(27, 40, dtype=torch.bool)
    small[12, 17] = True
    candidates = candidates_at(-1.5, 1.6, -1.4, 0.3, 0.7, 1.1)
    candidates = [dataclasses.replace(c, mask=small) if c.shift_m > 0 and c.name != "1" else c for c in candidates]
    chosen = select_views(scene, fit_posterior(scene, [], CONFIG), candidates, 3)
    assert {view.candidate.name for view in chosen} == {"0", "1", "2"}
    assert [looks.count(name) for name in "345"] == [1, 1, 1]
    assert looks.count(chosen[-1].candidate.name) > 1  # its gain had fallen


def test_a_duplicate_adds_little() -> None:
    scene, candidates = make_scene(), candidates_at(1.6, 1.6, 0.9, -1.5)
    posterior = fit_posterior(scene, make_views(1), CONFIG)
    static = rank_views(scene, posterior, candidates)
    by_name = {view.candidate.name: view for view in static}
    assert by_name["0"].gain_nats == by_name["1"].gain_nats
    chosen = select_views(scene, posterior, candidates, 99)
    assert len(chosen) == 4  # all there are
    marginals = [view.marginal_nats for view in chosen]
    assert marginals == sorted(marginals, reverse=True)
    assert marginals[0] == chosen[0].gain_nats == max(view.gain_nats for view in static)
    first, again = (next(v for v in chosen if v.candidate.name == name) for name in "01")
    assert again.marginal_nats < 0.4 * again.gain_nats
    assert again.marginal_nats < first.marginal_nats


@pytest.mark.parametrize("pixels_per_observation", [1.0, 9.0])
def test_marginal_gains_add_up_to_the_gain_of_the_batch(pixels_per_observation: float) -> None:
    config = dataclasses.replace(CONFIG, pixels_per_observation=pixels_per_observation)
    scene, seen, candidates = make_scene(), make_views(1), candidates_at(1.6, 1.6, 0.9, -1.5)
    posterior = fit_posterior(scene, seen, config)
    chosen = select_views(scene, posterior, candidates, 4)
    batch = fit_posterior(scene, [*seen, *map(observed, candidates)], config)
    dense = [torch.linalg.slogdet(dense_precision(p.precision).double())[1].sum() for p in (posterior, batch)]
    sky = 1.5 * (batch.sky_precision.double() / posterior.sky_precision.double()).log().sum()
    expected = float(0.5 * (dense[1] - dense[0]) + sky)
    assert sum(view.marginal_nats for view in chosen) == pytest.approx(expected, rel=1e-4)


def test_a_view_that_was_recorded_many_times_ranks_last() -> None:
    scene, (view,) = make_scene(), make_views(1)
    posterior = fit_posterior(scene, [view] * 40, CONFIG)
    ranking = rank_views(scene, posterior, candidates_at(0.0, -1.0, 0.5, 1.5))
    assert ranking[-1].candidate.shift_m == 0.0
    assert ranking[-1].gain_nats < 0.2 * ranking[0].gain_nats
    gains = [ranked.gain_nats for ranked in ranking]
    assert gains == sorted(gains, reverse=True)
    alone = rank_views(scene, fit_posterior(scene, [], CONFIG), candidates_at(0.0, -1.0, 0.5, 1.5))
    assert alone[-1].candidate.shift_m != 0.0  # it is the recording that put it there


def test_a_node_that_is_absent_at_a_time_stamp_has_nothing_to_tell() -> None:
    scene = make_scene()
    lone_car = torch.where(scene.node_ids == 1, scene.gaussians.opacity_logits, -1e4)
    scene = dataclasses.replace(scene, gaussians=dataclasses.replace(scene.gaussians, opacity_logits=lone_car))
    posterior = fit_posterior(scene, [], CONFIG)
    posterior = dataclasses.replace(posterior, sky_precision=torch.full_like(posterior.sky_precision, 1e20))
    present, absent = candidates_at(0.5) + candidates_at(0.5, time_index=1)
    ranking = rank_views(scene, posterior, [absent, present])
    assert ranking[0].candidate is present
    assert ranking[0].gain_nats > 10.0
    assert ranking[1].gain_nats < 1e-6


def test_nothing_that_was_given_changes() -> None:
    scene, views, candidates = make_scene(), make_views(1), candidates_at(0.4, -1.0, 1.5)
    posterior = fit_posterior(scene, views, CONFIG)
    given = [*scene_tensors(scene).values(), posterior.precision, posterior.sky_precision]
    given += [candidate.camera.world_from_camera for candidate in candidates]
    copies = [tensor.clone() for tensor in given]
    first = select_views(scene, posterior, candidates, 3)
    again = select_views(scene, posterior, candidates, 3)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(given, copies, strict=True))
    assert [vars(view) for view in first] == [vars(view) for view in again]


def test_determinants_are_exact_and_stay_above_the_priors_where_float32_has_broken_a_block() -> None:
    scene, config = make_scene(3), CONFIG
    prior = prior_precision(scene.gaussians, config)
    precision = fit_posterior(scene, make_views(2), config).precision
    sound = 0.5 * torch.linalg.slogdet(dense_precision(precision).double())[1]
    torch.testing.assert_close(half_log_dets(precision, prior), sound)
    diagonal = dense_precision(precision).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(half_log_dets(diagonal, prior), 0.5 * diagonal.double().log().sum(1))
    broken = precision.clone()
    broken[1] = 0.0
    broken[1, 0], broken[1, 1], broken[1, 2] = 4.0e6, 4.0e6, 1.0  # [[a, a], [a, 0]] is indefinite
    assert dense_precision(broken)[1].double().slogdet()[0] <= 0
    found = half_log_dets(broken, prior)
    assert 0.5 * prior[1].double().log().sum() < found[1] < 100.0
    assert torch.equal(found[[0, 2]], half_log_dets(precision, prior)[[0, 2]])


def test_bad_input_is_refused() -> None:
    scene, candidates = make_scene(), candidates_at(0.0)
    posterior = fit_posterior(scene, [], CONFIG)
    with pytest.raises(InputError, match="no candidates"):
        rank_views(scene, posterior, [])
    with pytest.raises(InputError, match="no candidates"):
        select_views(scene, posterior, [], 1)
    with pytest.raises(InputError, match="at least 1"):
        select_views(scene, posterior, candidates, 0)
    with pytest.raises(InputError, match="of this scene"):
        rank_views(make_scene(7), posterior, candidates)
    with pytest.raises(InputError, match="diag"):
        diagonal = dataclasses.replace(CONFIG, posterior="diag")
        rank_views(scene, dataclasses.replace(posterior, config=diagonal), candidates)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of the tool for a tiny drive and a scene of its points."""
    folder = tmp_path_factory.mktemp("rank")
    clip = read_drive(write_tiny_clip(folder / "clip"))
    scene = initialise_scene(clip, clip.frames, InitialiseConfig(max_gaussians=150, sky_height=8, num_frames=4))
    save_scene(folder / "scene.safetensors", scene, {})
    return ["--scene_checkpoint", str(folder / "scene.safetensors"), "--clip", str(folder / "clip")]


def test_candidates_of_a_drive_are_its_moved_cameras_without_the_ego_vehicle(run: list[str]) -> None:
    clip = read_drive(Path(run[-1]))
    candidates = clip_candidates(clip, ("1",), (-3.0, 1.5), 4)
    assert [(c.name, c.shift_m, c.time_index) for c in candidates] == [
        *(("1", -3.0, 0), ("1", -3.0, 4), ("1", 1.5, 0), ("1", 1.5, 4))
    ]
    moved = candidates[3].camera.world_from_camera - clip.frame(4, "1").camera.world_from_camera
    torch.testing.assert_close(moved[:3, 3], 1.5 * clip.world_from_ego[4, :3, 1], atol=1e-5, rtol=0.0)
    ego = load_ego_mask(clip.frame(0, "1"))
    assert ego.any()
    assert all(torch.equal(candidate.mask, ~ego) for candidate in candidates)


def test_the_tool_prints_a_table_and_writes_the_same_with_poses(
    run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(TOOL))["main"]
    main([*run, "--out", str(tmp_path), "--rank", "4", "--rank_shifts_m", "[-3, 0, 3]", "--rank_every", "3"])
    assert {path.name for path in tmp_path.iterdir()} == {"rank.json"}
    rows = json.loads((tmp_path / "rank.json").read_text())
    printed = capsys.readouterr()
    assert "4 of 12 candidates" in printed.err  # both cameras, three shifts, two time stamps
    heading, *lines = printed.out.splitlines()
    assert "camera" in heading
    assert len({len(line) for line in (heading, *lines)}) == 1  # aligned
    assert len(lines) == len(rows) == 4
    clip = read_drive(Path(run[-1]))
    for number, (line, row) in enumerate(zip(lines, rows, strict=True), 1):
        cells = line.split()
        assert cells[:3] == [str(row["rank"]), row["camera"], str(row["time_index"])]
        assert int(cells[0]) == number
        numbers = [row["shift_m"], row["gain_nats"], row["marginal_nats"]]
        assert [float(cell) for cell in cells[3:]] == pytest.approx(numbers, abs=0.006)
        camera = shifted_cameras(clip, row["camera"], row["shift_m"])[row["time_index"]]
        torch.testing.assert_close(torch.tensor(row["world_from_camera"]), camera.world_from_camera)
        assert 0 < row["marginal_nats"] <= row["gain_nats"] + 1e-6
    assert rows[-1]["marginal_nats"] < rows[-1]["gain_nats"]
    main([*run, "--out", str(tmp_path / "one"), "--rank", "9", "--rank_every", "3", "--camera", "1"])
    one = json.loads((tmp_path / "one" / "rank.json").read_text())
    assert {row["camera"] for row in one} == {"1"}
    assert len({(row["shift_m"], row["time_index"]) for row in one}) == 9
    with pytest.raises(InputError, match="--rank: 15; expected at most the 14 candidates"):
        main([*run, "--out", str(tmp_path / "many"), "--rank", "15", "--rank_every", "3", "--camera", "1"])


def test_without_rank_the_tool_renders_the_volume(run: list[str], tmp_path: Path) -> None:
    runpy.run_path(str(TOOL))["main"]([*run, "--out", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {"eig.safetensors", "eig.mp4"}


def test_the_volume_follows_a_trajectory(run: list[str], tmp_path: Path) -> None:
    main = runpy.run_path(str(TOOL))["main"]
    options = {"shift": ("--shift_m", "2"), "same": ("--trajectory", "[{shift_m: 2}]")}
    options["turn"] = ("--trajectory", "[{yaw_deg: 9}]")
    volumes = {}
    for name, chosen in options.items():
        main([*run, "--out", str(tmp_path / name), *chosen])
        volumes[name] = (tmp_path / name / "eig.safetensors").read_bytes()
    assert volumes["same"] == volumes["shift"] != volumes["turn"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trajectory", "[{shift_m: 1, over_m: [1, 99]}]"), "m that were driven"),
        (("--shift_m", "50"), "50 m from the recorded path"),
        (("--rank", "-1"), "--rank: -1"),
        (("--rank", "2", "--rank_shifts_m", "[]"), "no candidates"),
        (("--rank", "2", "--rank_every", "0"), "rank_every"),
        (("--rank", "2", "--rank_shifts_m", "[50]"), "50"),
        (("--rank", "2", "--camera", "7"), "no camera '7'"),
    ],
)
def test_the_tool_refuses_in_one_line(
    run: list[str],
    tmp_path: Path,
    options: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["render_eig.py", *run, "--out", str(tmp_path / "out"), *options])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL), run_name="__main__")
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert message in said
    assert not (tmp_path / "out").exists()
