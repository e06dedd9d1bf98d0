"""The audit log: one line per decision, nothing secret in it, and no failure of it changes an answer."""

import io
import json
import os
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tallystick.runtime.audit import AuditLog, open_audit
from tests.fakes import FakeClock

LOOKS_LIKE_A_TOKEN = "ey" + "JhbGciOiJub25lIn0.e30.c2ln"


def a_log() -> tuple[AuditLog, io.StringIO]:
    stream = io.StringIO()
    return AuditLog(stream, FakeClock(), "exchange"), stream


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_decision_is_one_line_with_time_action_outcome_component_and_facts():
    audit, stream = a_log()

    audit.record("redeem", "refused", reason="already used", namespace="edge", serial=2, client_id=None)

    assert stream.getvalue() == (
        '{"time":"2030-01-01T12:00:00.000Z","action":"redeem","outcome":"refused","component":"exchange",'
        '"reason":"already used","namespace":"edge","serial":2}\n'
    )


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(LOOKS_LIKE_A_TOKEN, id="a token"),
        pytest.param(f"Bearer {LOOKS_LIKE_A_TOKEN}", id="a token in a text"),
        pytest.param(LOOKS_LIKE_A_TOKEN[:20], id="a part of a token"),
        pytest.param("x" * 1025, id="too long"),
        pytest.param(b"bytes", id="no text"),
    ],
)
def test_a_value_that_is_not_fit_to_be_written_is_redacted(value):
    audit, stream = a_log()

    audit.record("redeem", "refused", subject=value)

    assert lines(stream)[0]["subject"] == "[redacted]"


def test_a_value_cannot_break_the_line_or_reach_a_terminal():
    audit, stream = a_log()

    audit.record("redeem", "ok", name='a\n{"action":"forged"}\x1b[2J\u2028')

    assert len(stream.getvalue().splitlines()) == 1
    assert stream.getvalue().isascii()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("key", ["time", "component", "Bad", "with space", "1st", ""])
def test_a_fact_with_a_bad_key_is_left_out_and_counted(key):
    audit, stream = a_log()

    audit.record("redeem", "ok", **{key: "x", "fine": "y"})

    assert lines(stream)[0] | {"fine": "y", "component": "exchange"} == lines(stream)[0]
    assert "x" not in lines(stream)[0].values()
    assert audit.failures == 1


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [pytest.param(FullDisk(), id="full"), pytest.param(closed(), id="closed")])
def test_a_line_that_cannot_be_written_is_counted_and_raises_nothing(stream):
    audit = AuditLog(stream, FakeClock(), "exchange")

    audit.record("redeem", "refused")

    assert audit.failures == 1


def test_a_file_is_appended_to_flushed_and_readable_by_its_owner_alone(tmp_path):
    path = tmp_path / "audit.log"
    path.write_text("before\n")
    path.chmod(0o600)
    (tmp_path / "new.log").unlink(missing_ok=True)

    with closing(open_audit(str(path))) as stream, closing(open_audit(str(tmp_path / "new.log"))):
        AuditLog(stream, FakeClock(), "exchange").record("redeem", "ok")
        written = path.read_text().splitlines()

    assert written[0] == "before"
    assert json.loads(written[1])["action"] == "redeem"
    assert stat.S_IMODE((tmp_path / "new.log").stat().st_mode) == 0o600


def test_a_fifo_without_a_reader_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(OSError, match="No such device or address"):
        open_audit(str(tmp_path / "fifo"))


def test_a_dash_is_standard_output(capsys):
    AuditLog(open_audit("-"), FakeClock(), "exchange").record("redeem", "ok")

    assert json.loads(capsys.readouterr().out)["outcome"] == "ok"


def a_line_to(audit: AuditLog, path: Path) -> list[str]:
    """Record a line, and return the actions that the file of this name holds then."""
    audit.record("redeem", "ok")
    return [json.loads(line)["outcome"] for line in path.read_text().splitlines()]


def moved_and_created(path: Path) -> None:
    path.rename(path.with_suffix(".1"))
    path.touch(mode=0o600)


@pytest.mark.parametrize(
    "rotate",
    [
        pytest.param(lambda path: path.rename(path.with_suffix(".1")), id="moved away"),
        pytest.param(lambda path: path.unlink(), id="deleted"),
        pytest.param(moved_and_created, id="moved and created"),
        pytest.param(lambda path: path.write_text(""), id="copied and truncated"),
    ],
)
def test_after_a_rotation_lines_go_to_the_file_of_the_name(tmp_path, rotate):
    path = tmp_path / "audit.log"
    with closing(open_audit(str(path))) as stream:
        audit = AuditLog(stream, FakeClock(), "exchange")
        before = a_line_to(audit, path)
        rotate(path)
        after = a_line_to(audit, path)
        more = a_line_to(audit, path)

    assert (before, after, more, audit.failures) == (["ok"], ["ok"], ["ok", "ok"], 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_is_not_lost_if_the_rotated_file_cannot_be_opened(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    path = folder / "audit.log"
    with closing(open_audit(str(path))) as stream:
        audit = AuditLog(stream, FakeClock(), "exchange")
        folder.rename(tmp_path / "gone")
        audit.record("redeem", "ok")
        lost = not (tmp_path / "gone" / "audit.log").read_text()
        folder.mkdir()
        again = a_line_to(audit, path)

    assert (lost, audit.failures, again) == (False, 0, ["ok"])
