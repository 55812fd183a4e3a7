"""Compares weights, editors and loops of the refinement on streets with truth, at shifts to both sides, in one table.

python tools/ablation.py --config configs/evaluate/ablation.yaml            for the table, on streets 100 to 119
python tools/ablation.py --config configs/evaluate/ablation_dev.yaml        while developing, on streets 0 to 9

It writes ablation.md and ablation.json into the folder. A killed run continues with the same command, and the same
command in a second shell shares the streets.
"""

from __future__ import annotations

from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.evaluate.ablation.config import AblationConfig
from faithfusion.utils.called import command_line


def main(argv: list[str]) -> None:
    """Runs the streets that are not done yet, writes and prints the table."""
    config = parse_config(AblationConfig, argv, description=__doc__)

    from faithfusion.evaluate.ablation.config import BLIND
    from faithfusion.evaluate.ablation.run import check_inputs, run_ablation
    from faithfusion.utils.device import choose_device
    from faithfusion.utils.progress import say
    from faithfusion.video.editing.editor import ClipFacts, Editor
    from faithfusion.video.editors.registry import open_each

    check_inputs(config)
    opened = open_each(config.editors, str(choose_device("auto")))
    for editors in opened.values():
        editors.check(ClipFacts(config.refine.street.num_frames, config.refine.warp.num_views))

    def editor(name: str) -> Editor:
        return opened[name.removesuffix(BLIND)].editor(config.editor_of(name).composite, config.refine.seed)

    identities = {name: editors.identity for name, editors in opened.items()}
    page = run_ablation(config, editor, identities=identities, command=command_line())
    print(Path(page).read_text())
    say(f"table: {page}")
