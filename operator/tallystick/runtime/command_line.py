"""`tallystick audit export`: the audit lines of all replicas as one list. It imports its work when it runs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tallystick.runtime.flags import CommandGroup, CommandLine


class Format(StrEnum):
    """The form of an export."""

    JSON = "json"
    CSV = "csv"


def export(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", help="Audit logs of all replicas of controller and exchange. `-` is standard input."
        ),
    ],
    since: Annotated[
        str,
        typer.Option(help="First time to export (RFC 3339), or a duration before now, such as 24h. Default: all."),
    ] = "",
    form: Annotated[
        Format, typer.Option("--format", help="Form: json has one object a line, csv one column for each fact.")
    ] = Format.JSON,
) -> None:
    """Print the audit lines of several files as one list, by time."""
    import sys
    from datetime import UTC, datetime

    from tallystick.runtime import audit_export

    start = audit_export.start_of(since, datetime.now(UTC)) if since else None
    lines, skipped = audit_export.read_lines(files)
    if start is not None:
        lines = audit_export.lines_since(lines, start)
    write = audit_export.write_csv if form is Format.CSV else audit_export.write_json
    write(lines, sys.stdout)
    if skipped:
        more = f" and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        typer.echo(f"skipped lines that are not audit lines: {skipped[0]}{more}", err=True)


AUDIT = CommandLine(
    groups=(CommandGroup(name="audit", help="Export the audit logs of all processes.", commands={"export": export}),)
)
