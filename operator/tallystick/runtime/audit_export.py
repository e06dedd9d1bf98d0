"""Merge the audit logs of all replicas and of both processes, by time, as CSV or JSON (docs/rules.md#r13)."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from tallystick.errors import TallystickError
from tallystick.schema.times import rfc3339_milliseconds, time_or_age

Line = dict[str, Any]

STANDARD = Path("-")
FIRST_COLUMNS = ("time", "component", "action", "outcome", "kind", "namespace", "name", "uid", "serial", "token_id")
# A spreadsheet runs a cell that begins with one of these. A client_id, for example, is self-reported.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class AuditExportError(TallystickError):
    """The audit logs cannot be exported. The text has the reason."""


def read_lines(files: Sequence[Path]) -> tuple[list[Line], list[str]]:
    """Read audit lines, and return them by time, and the places of texts that are none.

    A process that is killed can leave a part of a line, and standard output can hold other logs. Lines of the same time
    stay in the order of the files.

    Args:
        files: The files; `-` is standard input.

    Raises:
        AuditExportError: A file cannot be read.
    """
    found: list[Line] = []
    skipped: list[str] = []
    for file in files:
        for number, text in enumerate(_texts(file), start=1):
            line = _line(text)
            if line is not None:
                found.append(line)
            elif text.strip():
                skipped.append(f"{file}:{number}")
    # The spelling of all times is the same, so texts sort as times do.
    return sorted(found, key=lambda line: str(line["time"])), skipped


def start_of(since: str, now: datetime) -> datetime:
    """Read the first time of an export: a time in RFC 3339, or a Go-style duration before now.

    Raises:
        AuditExportError: The text is neither.
    """
    try:
        return time_or_age(since, now)
    except ValueError:
        raise AuditExportError(
            f"--since {since} is not valid; write a time such as 2030-01-01T12:00:00Z, or a duration such as 24h"
        ) from None


def lines_since(lines: Iterable[Line], start: datetime) -> list[Line]:
    """Return the lines of this time and later."""
    first = rfc3339_milliseconds(start)
    return [line for line in lines if str(line["time"]) >= first]


def write_json(lines: Iterable[Line], out: TextIO) -> None:
    """Write one JSON object a line, as the audit log has them."""
    out.writelines(json.dumps(line, separators=(",", ":"), ensure_ascii=True) + "\n" for line in lines)


def write_csv(lines: Sequence[Line], out: TextIO) -> None:
    """Write a table (RFC 4180) with a column for each fact. A cell that a spreadsheet would run begins with `'`."""
    further = sorted({name for line in lines for name in line} - set(FIRST_COLUMNS))
    columns = [*FIRST_COLUMNS, *further]
    writer = csv.writer(out)
    writer.writerow(columns)
    for line in lines:
        writer.writerow([_cell(line.get(name, "")) for name in columns])


def _texts(file: Path) -> Iterator[str]:
    try:
        if file == STANDARD:
            yield from sys.stdin
            return
        with file.open(encoding="utf-8", errors="replace") as opened:
            yield from opened
    except OSError as error:
        raise AuditExportError(f"{file} cannot be read: {error.strerror}; give the files of --audit-log") from error


def _line(text: str) -> Line | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    is_ours = isinstance(line, dict) and {"time", "action", "outcome", "component"} <= line.keys()
    return line if is_ours else None


def _cell(value: object) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
