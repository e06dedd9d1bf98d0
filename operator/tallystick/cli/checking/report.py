"""The result of `tallystick check` as a text. Every function is pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The outcome of one check."""

    OK = "ok"
    WARNING = "warn"
    FAILED = "FAIL"
    SKIPPED = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: The part of the installation.
        verdict: The outcome.
        text: The facts; for a failure or a warning also what to do.
    """

    subject: str
    verdict: Verdict
    text: str


def first_failure(findings: Sequence[Finding]) -> Finding | None:
    """Return the first check that failed; None if none did."""
    return next((one for one in findings if one.verdict is Verdict.FAILED), None)


def rendered(findings: Sequence[Finding]) -> str:
    """Return one line for each check, in columns, and a line with the sum."""
    width = max(len(one.subject) for one in findings)
    lines = [f"{one.verdict.value:<4}  {one.subject:<{width}}  {one.text}" for one in findings]
    return "\n".join([*lines, summary(findings)])


def summary(findings: Sequence[Finding]) -> str:
    """Return how many checks failed, and how many of the others have a warning."""
    failed = sum(one.verdict is Verdict.FAILED for one in findings)
    warned = sum(one.verdict is Verdict.WARNING for one in findings)
    done = sum(one.verdict is not Verdict.SKIPPED for one in findings)
    text = f"{failed} of {done} checks failed" if failed else f"All {done} checks passed"
    return f"{text}, {warned} with a warning." if warned else f"{text}."
