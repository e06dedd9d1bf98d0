"""The audit log and the Events as lists."""

from typing import NamedTuple

from tallystick.objects.ports import Json


class AuditLine(NamedTuple):
    """One decision, as it was recorded."""

    action: str
    outcome: str
    facts: dict[str, str | int | None]


class MemoryAudit:
    """An audit log in a list."""

    def __init__(self) -> None:
        self.lines: list[AuditLine] = []

    def record(self, action: str, outcome: str, **facts: str | int | None) -> None:
        self.lines.append(AuditLine(action, outcome, facts))

    def decisions(self) -> list[tuple[str, str]]:
        """The (action, outcome) of every line, in order."""
        return [(line.action, line.outcome) for line in self.lines]


class WarningEvent(NamedTuple):
    """One Warning event, and which object it is about."""

    kind: str
    namespace: str
    name: str
    reason: str
    message: str


class MemoryEvents:
    """Events in a list, neither aggregated nor limited."""

    def __init__(self) -> None:
        self.warnings: list[WarningEvent] = []

    def warn(self, about: Json, reason: str, message: str) -> None:
        meta = about["metadata"]
        self.warnings.append(
            WarningEvent(about.get("kind", ""), meta.get("namespace", ""), meta["name"], reason, message)
        )

    def reasons(self) -> list[str]:
        """The reasons, in order."""
        return [warning.reason for warning in self.warnings]
