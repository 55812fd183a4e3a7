"""Runs all checks of one drive, in an order in which the first fault is the cause of those that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faithfusion.check.box_faults import check_boxes
from faithfusion.check.calibration_faults import check_calibration
from faithfusion.check.contradictions import check_agreement, check_standing
from faithfusion.check.evidence import NUM_SAMPLES, Evidence, gather
from faithfusion.check.findings import Finding, Level, note, verdict
from faithfusion.check.image_faults import check_images
from faithfusion.check.mask_faults import check_masks
from faithfusion.check.motion_faults import check_course, check_steps
from faithfusion.check.scans import check_repeated_scans, check_scan_agreement, check_scan_frame
from faithfusion.types import DriveClip

# each builds on what those before it have found sound
CHECKS = (
    check_scan_frame,
    check_standing,
    check_course,
    check_calibration,
    check_scan_agreement,
    check_agreement,
    check_boxes,
    check_masks,
)

CAMERA = "camera "


@dataclass(frozen=True)
class CheckResult:
    """What was found in a drive: the evidence, and the findings in the order of the checks."""

    evidence: Evidence
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """The verdict in one line (see `findings.verdict`)."""
        return verdict(self.findings)

    @property
    def is_broken(self) -> bool:
        """Whether results from this drive would be wrong."""
        return has_fault(self.findings)


def check_clip(clip: DriveClip, *, num_samples: int = NUM_SAMPLES) -> CheckResult:
    """Looks for faults that parse fine. InputError for an image or mask that cannot be decoded."""
    evidence = gather(clip, num_samples)
    findings = check_steps(evidence)
    findings = check_images(evidence) + findings + check_repeated_scans(evidence)
    for check in CHECKS:
        findings += [] if has_fault(findings) else check(evidence)
    if has_fault(findings):
        findings.append(note("more", "what builds on the faults above was not checked: mend them first"))
    missing = [note("missing", part) for part in clip.missing]
    return CheckResult(evidence, merge_cameras(findings + missing))


def has_fault(findings: Sequence[Finding]) -> bool:
    """Whether any finding is a fault."""
    return any(finding.level is Level.BROKEN for finding in findings)


def merge_cameras(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Joins findings that several cameras share into one: "cameras 0, 1: ..."."""
    merged: dict[tuple[Level, str], list[str]] = {}
    for finding in findings:
        merged.setdefault((finding.level, finding.text), []).append(finding.subject)
    found = []
    for (level, text), subjects in merged.items():
        names = [subject.removeprefix(CAMERA) for subject in subjects if subject.startswith(CAMERA)]
        if len(subjects) > 1 and len(names) == len(subjects):
            subjects = [f"cameras {', '.join(names)}"]
        found += [Finding(level, subject, text) for subject in subjects]
    return tuple(found)
