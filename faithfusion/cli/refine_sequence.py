"""Makes a lane-shift video, an improved Gaussian scene and a report from a recorded drive.

python tools/refine_sequence.py                                   on the procedural street, 3 m to the left
python tools/refine_sequence.py --scene DRIVE --out RUN           on a drive in DriveStudio's layout
python tools/refine_sequence.py --scene DRIVE --gaussians FILE    on your own Gaussians of that drive

For a recorded drive the options of the fit that its cameras, pictures, LiDAR and length ask for are chosen and said;
what you give wins. A killed run continues with the same command.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from faithfusion.config import parse_config, save_config
from faithfusion.pipeline.config import RefineConfig
from faithfusion.utils.called import command_line
from faithfusion.utils.unchanged import inputs_key, is_finished, note_finished
from faithfusion.video.editors.kinds import kinds_help


def main(argv: list[str]) -> None:
    """Runs the stages that are not done yet and writes the report."""
    config = parse_config(RefineConfig, argv, description=f"{__doc__}\n{kinds_help()}")
    choices = ()
    if config.scene is not None:
        from faithfusion.pipeline.choices import with_choices

        config, choices = with_choices(config, argv)
    out = Path(config.out)
    if is_finished(out, dataclasses.replace(config, out="")):
        from faithfusion.utils.progress import say

        say(f"{out}: finished before, and nothing has changed since")
        return

    from faithfusion.evaluate.report.summary import summarise_run
    from faithfusion.pipeline.choices import lines_of, save_choices
    from faithfusion.pipeline.refine import check_inputs, run_refinement
    from faithfusion.utils.atomic import require_writable
    from faithfusion.utils.progress import say
    from faithfusion.utils.stage_log import StageLog
    from faithfusion.video.editors.registry import with_defaults

    inputs = check_inputs(config)
    key = inputs_key(dataclasses.replace(config, out=""))  # before hours of work, in which a file may change
    require_writable(out)
    for line in lines_of(choices):
        say(line)
    save_choices(out, choices)
    editors = tuple(with_defaults(entry) for entry in config.editors)
    save_config(dataclasses.replace(config, editors=editors), out / "config.yaml")
    log = StageLog(out)
    run = run_refinement(config, log, inputs)
    report = summarise_run(run, config, log.seconds, command=command_line())
    note_finished(out, key)
    say(f"report: {report}")
