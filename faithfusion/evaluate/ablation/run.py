"""The whole ablation: streets one after the other, several processes side by side, the table from what is there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from faithfusion.data.splits import held_out_stride
from faithfusion.distill.distil import OPTIMISE
from faithfusion.distill.weights.registry import ORACLE, weight_of
from faithfusion.evaluate.ablation.config import AblationConfig, settings_of, street_path, with_street
from faithfusion.evaluate.ablation.pareto import draw_pareto, gains
from faithfusion.evaluate.ablation.rows import score_row
from faithfusion.evaluate.ablation.street import OpenEditor, Street, Tools, calibrate_street, render_windows, run_edits
from faithfusion.evaluate.ablation.table import markdown, plain_table
from faithfusion.evaluate.benchmark_config import KnownTruthConfig
from faithfusion.evaluate.result_files import claim, read_json, require_same_settings, write_json
from faithfusion.evaluate.street_scenes import fitted_street
from faithfusion.pipeline.stage_files import CLIP_FORMAT
from faithfusion.street.street_config import check_config
from faithfusion.utils.atomic import atomic_file, require_writable
from faithfusion.utils.errors import InputError
from faithfusion.utils.mobilenet import mobilenet_or_none
from faithfusion.utils.progress import report_progress, say, track
from faithfusion.utils.stage_log import StageLog

LEGEND = """\
Means over streets, ± half the 95 % interval (Student's t); the two sides of a distance are averaged per street.
Paired differences are taken street by street, with their own interval in brackets; errors and distances in percent of
what is compared with. "Intervals" says whether those of the two means overlap. The regenerated region is where the
unrefined render's expected error is above the threshold, the same for every row. Warp errors follow static points along
the true depth; sharp pictures have some too, the truth itself has, so that of the artefacts (picture minus truth) is
given beside it."""


def check_inputs(config: AblationConfig) -> None:
    """Raises InputError, before anything is written, for weights that do not exist and streets that cannot be made."""
    for row in config.rows:
        weight_of(config.distill_of(row).weight)
        on_the_way = {at for stage in config.stages_of(row) for at in stage.anew_m} - set(config.shifts_m)
        if row.weight == ORACLE and on_the_way:
            found = f"{ORACLE} at {', '.join(f'{at:+g} m' for at in sorted(on_the_way))} on the way"
            raise InputError(f"ablation.loops.{row.loop}", found, "shifts with true pictures alone")
    street = with_street(config, config.seeds[0])
    check_config(street)
    held_out_stride(config.refine.split, street.num_frames)


def run_ablation(
    config: AblationConfig, open_editor: OpenEditor, *, identities: Mapping[str, str], command: str
) -> Path:
    """Makes the streets that are missing and that nobody else is making, then writes the table of all that are there
    and returns its path.

    `identities` tell the weights and options of the editors, by name, from all others. Raises InputError if the folder
    holds results of other settings.
    """
    out = Path(config.out)
    check_inputs(config)
    require_writable(out)
    network = mobilenet_or_none()
    settings = settings_of(config, identities) | {"mobilenet": network is not None}
    key = require_same_settings(out, settings)
    missing = [seed for seed in config.seeds if not street_path(out, seed).is_file()]
    tools, count = Tools(open_editor, network), num_steps(config)
    for _ in track(_all_steps(config, missing, tools, key), "ablation", count * len(missing)):
        pass
    return write_table(config, command)


def _all_steps(config: AblationConfig, seeds: Sequence[int], tools: Tools, key: str) -> Iterator[str]:
    """Steps of all streets; those of a street that is done or held elsewhere pass at once."""
    for seed in seeds:
        with claim(Path(config.out) / "work" / f"street_{seed:04d}.lock") as is_ours:
            steps: Iterator[str] = iter(())
            if not is_ours:
                say(f"street {seed}: another process is at it")
            elif not street_path(Path(config.out), seed).is_file():
                steps = _one_street(config, seed, tools, key)
            done = 0
            for name in _quiet(steps):
                done += 1
                yield name
            yield from [""] * (num_steps(config) - done)


def _quiet(steps: Iterator[str]) -> Iterator[str]:
    """Without the bars of each step: there is one over all."""
    while True:
        with report_progress(lambda label, done, total: None):
            name = next(steps, None)
        if name is None:
            return
        yield name


def _one_street(config: AblationConfig, seed: int, tools: Tools, key: str) -> Iterator[str]:
    out, folder = Path(config.out), Path(config.out) / "work" / f"street_{seed}"
    yield from street_steps(config, seed, tools)
    results = collect(config, seed, folder, StageLog(folder).seconds)
    write_json(street_path(out, seed), results | {"settings": key})
    if not config.keep_work:
        shutil.rmtree(folder, ignore_errors=True)


def num_steps(config: AblationConfig) -> int:
    """Returns the number of steps of `street_steps`."""
    return 3 + len(config.edits) + len(config.rows)


def street_steps(config: AblationConfig, seed: int, tools: Tools) -> Iterator[str]:
    """Makes one street's results in steps, each named when it is done; finished ones are skipped after a kill."""
    refine = config.refine
    known = KnownTruthConfig(
        out=str(Path(config.out) / "work"),
        shifts_m=config.shifts_m,
        frame_stride=1,
        device=refine.device,
        street=with_street(config, seed),
        split=refine.split,
        fit=refine.fit,
        eig=refine.eig,
    )
    street = Street(config, fitted_street(known, seed), tools)
    log, paths = street.fitted.log, [street.window_path(shift_m) for shift_m in config.shifts_m]
    yield "fit"
    settling = (refine.settle_steps, OPTIMISE, refine.seed)
    inputs = (refine.eig, refine.posterior_stride, settling)
    log.run("calibrate", inputs, [street.known_path], lambda: calibrate_street(street))
    yield "calibrate"
    inputs = (CLIP_FORMAT, refine.warp, config.camera, config.shifts_m)
    log.run("windows", inputs, paths, lambda: render_windows(street))
    yield "windows"
    for editors in config.edits:
        run_edits(street, editors)
        yield f"edit, {editors}"
    for row in config.rows:
        shown = row == config.shown_row
        pictures = [street.picture_path(seed, shift_m) for shift_m in config.shifts_m] if shown else []
        outputs = [street.score_path(row.key), *pictures]
        log.run(row.key, config.distill_of(row), outputs, lambda row=row, paths=pictures: score_row(street, row, paths))
        yield row.key


def collect(config: AblationConfig, seed: int, folder: Path, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Returns the scores of the finished street: {"rows": {row: {"video" | "scene": {shift: scores}, "lane":
    scores}}}."""
    rows = {row.key: read_json(folder / f"scores_{row.key.replace('/', '_')}.json") for row in config.rows}
    return {"seed": seed, "rows": rows, "seconds": dict(seconds)}


def write_table(config: AblationConfig, command: str) -> Path:
    """Writes ablation.md, its plots and ablation.json from every street in the folder and returns the path of the page.
    Raises InputError if there is no street, or one of other settings."""
    out = Path(config.out)
    streets = [read_json(path) for path in sorted(out.glob("street_*.json"))]
    if not streets:
        raise InputError(out, "no finished street", "results of at least one street; other processes may be at work")
    if len({street["settings"] for street in streets}) != 1:
        raise InputError(out, "streets of different settings", "one ablation")
    seeds = ", ".join(str(street["seed"]) for street in streets)
    intro = f"Made by `{command}`.\n\n{len(streets)} streets, seeds {seeds}. {LEGEND}\n\n{_plots(config, streets)}"
    write_json(out / "ablation.json", plain_table(streets, config.rows, config.shifts_m))
    page = out / "ablation.md"
    with atomic_file(page) as temporary:
        temporary.write_text(markdown(streets, config.rows, config.shifts_m, intro))
    return page


def _plots(config: AblationConfig, streets: Sequence[Mapping[str, Any]]) -> str:
    """Draws shifted lane against recorded lane for every distance, and returns the lines that show the pictures."""
    lines = [
        "Shifted lane against recorded lane, rows with the last editors; a line joins those that none beats at both:\n"
    ]
    for distance_m in sorted({abs(shift_m) for shift_m in config.shifts_m}):
        points = gains(streets, config.rows, distance_m)
        path = Path(config.out) / f"pareto_{distance_m:g}m.svg"
        with atomic_file(path) as temporary:
            temporary.write_text(draw_pareto(points, distance_m))
        lines.append(f"![{distance_m:g} m to the side against the recorded lane]({path.name})\n")
    return "\n".join(lines)
