"""`tallystick audit export`: the lines of several processes as one list, by time (R13)."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from tallystick.cli.main import app
from tallystick.runtime.audit_export import AuditExportError, read_lines, start_of

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def a_line(second, action="issue", component="controller", **facts):
    return {
        "time": f"2030-01-01T12:00:{second:06.3f}Z",
        "action": action,
        "outcome": "ok",
        "component": component,
    } | facts


@pytest.fixture
def logs(tmp_path):
    def write(name, *lines):
        file = tmp_path / name
        file.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
        return file

    return write


def run(*arguments):
    return CliRunner().invoke(app, ["audit", "export", *map(str, arguments)])


def test_r13_the_lines_of_all_processes_are_merged_by_time(logs):
    controller = logs("controller", a_line(1), a_line(4, "expire"))
    first = logs("exchange-1", a_line(3, "redeem", "exchange"))
    second = logs("exchange-2", a_line(2, "request", "exchange"))

    printed = run(controller, first, second)

    lines = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [line["action"] for line in lines] == ["issue", "request", "redeem", "expire"]
    assert lines[1] == a_line(2, "request", "exchange")


def test_lines_of_the_same_time_stay_in_their_order(logs):
    one, other = logs("a", a_line(1, "b"), a_line(1, "a")), logs("b", a_line(1, "c"))

    assert [line["action"] for line in read_lines([one, other])[0]] == ["b", "a", "c"]


def test_csv_has_a_column_for_each_fact_and_runs_no_formula(logs):
    file = logs("a", a_line(1, name="site,a", client_id="=cmd|calc"), a_line(2, subject='quoted "alice"'))

    table = list(csv.DictReader(io.StringIO(run(file, "--format", "csv").stdout)))

    assert [row["name"] for row in table] == ["site,a", ""]
    assert (table[0]["client_id"], table[1]["subject"]) == ("'=cmd|calc", 'quoted "alice"')
    assert list(table[0])[:4] == ["time", "component", "action", "outcome"]


@pytest.mark.parametrize("since", ["2030-01-01T12:00:02Z", "2030-01-01T13:00:02+01:00", "2030-01-01T12:00:02.000Z"])
def test_since_includes_its_own_time(logs, since):
    printed = run(logs("a", a_line(1.999), a_line(2), a_line(3)), "--since", since)

    assert len(printed.stdout.splitlines()) == 2


def test_since_may_be_a_duration_before_now():
    assert start_of("24h", NOON) == NOON - timedelta(days=1)


@pytest.mark.parametrize("since", ["yesterday", "2030-01-01T12:00:00", "-1h"])
def test_another_since_is_rejected_with_its_form(since):
    with pytest.raises(AuditExportError, match="write a time such as"):
        start_of(since, NOON)


def test_a_part_of_a_line_and_other_logs_are_skipped_and_named(logs):
    file = logs("a", a_line(1), "2030 [info] something\n", '{"time":"2030-01-01T1\n', '["time"]\n', "\n", a_line(2))

    printed = run(file)

    assert len(printed.stdout.splitlines()) == 2
    assert printed.stderr == f"skipped lines that are not audit lines: {file}:2 and 2 more\n"


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(AuditExportError, match=r"none cannot be read: .*; give the files of --audit-log"):
        read_lines([tmp_path / "none"])
