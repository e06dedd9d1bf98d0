"""The audit log: one JSON line per decision, written before the answer (R13), by a logger of its own.

It holds ids, names, reasons and times. What looks like a token, or is too long to be one of those, is not written.
"""

import json
import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import TextIO

import structlog

from tallystick.runtime.redaction import REDACTED, holds_token
from tallystick.services.ports import Clock

LONGEST_VALUE = 1_024
_KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")
_OWN_KEYS = frozenset({"time", "action", "outcome", "component"})

log = structlog.get_logger("tallystick.audit")


class AuditLog:
    """The Audit port on a stream of text.

    Attributes:
        failures: Lines that could not be written and facts that were not fit to be; for a metric.
    """

    def __init__(self, stream: TextIO, clock: Clock, component: str) -> None:
        self._stream = stream
        self._clock = clock
        self._component = component
        self.failures = 0

    def record(self, action: str, outcome: str, **facts: str | int | None) -> None:
        """Write one line and flush it. Facts that are None are left out.

        It never raises: a full disk must not turn a refusal into a success nor hold up a revocation (I24).
        """
        line = {
            "time": _milliseconds(self._clock.now()),
            "action": _fit(action),
            "outcome": _fit(outcome),
            "component": self._component,
            **self._fit_facts(facts),
        }
        try:
            # ASCII alone: no value can break the line or move a terminal's cursor.
            self._stream.write(json.dumps(line, separators=(",", ":"), ensure_ascii=True) + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            self.failures += 1
            log.warning("audit line lost", action=action, outcome=outcome, error=type(error).__name__)

    def _fit_facts(self, facts: dict[str, str | int | None]) -> dict[str, str | int]:
        """The facts that may be written. A bad key is a fault of ours: the fact is left out, and counted."""
        known = {key: value for key, value in facts.items() if value is not None}
        fit = {key: _fit(value) for key, value in known.items() if _KEY.fullmatch(key) and key not in _OWN_KEYS}
        self.failures += len(known) - len(fit)
        return fit


def open_audit(target: str) -> TextIO:
    """Open what a setting names: `-` is standard output, else a file that is appended to and that only we may read."""
    if target == "-":
        return sys.stdout
    descriptor = os.open(Path(target), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "a", encoding="utf-8")


def _fit(value: str | int) -> str | int:
    """A value, or `[redacted]` in its place."""
    if isinstance(value, int):
        return value
    if not isinstance(value, str) or len(value) > LONGEST_VALUE or holds_token(value):
        return REDACTED
    return value


def _milliseconds(time: datetime) -> str:
    """RFC 3339 in UTC, with milliseconds: 2030-01-01T12:00:00.000Z."""
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
