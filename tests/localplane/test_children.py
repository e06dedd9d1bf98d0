"""Children that end with their parent."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tallystick.localplane.children import Child
from tallystick.localplane.errors import PlaneError
from tests.harness.processes import ended, poll

PARENT = """
import sys, time
from pathlib import Path
from tallystick.localplane.children import Child
child = Child.spawn("sleeper", ["/bin/sleep", "600"], log=Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(600)
"""


def shell(script: str, log: Path, **options: Any) -> Child:
    return Child.spawn("shell", ["/bin/sh", "-c", script], log=log, **options)


def test_what_it_says_goes_to_a_log_that_only_we_can_read(tmp_path: Path) -> None:
    child = shell("echo one; echo two >&2; echo three; exit 3", tmp_path / "log")

    assert child.wait(30) == 3
    assert child.tail(2) == "two\nthree"
    assert child.exit_text().startswith("shell ended with status 3.")
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_it_gets_the_environment_and_the_folder_it_was_given(tmp_path: Path) -> None:
    child = shell('echo "$COLOUR in $PWD"', tmp_path / "log", environment={"COLOUR": "red"}, folder=tmp_path)

    assert child.wait(30) == 0
    assert child.tail() == f"red in {tmp_path}"


def test_it_is_the_program_itself_and_no_process_stays_between(tmp_path: Path) -> None:
    child = Child.spawn("sleeper", ["/bin/sleep", "600"], log=tmp_path / "log")

    poll(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n")
    parent = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[1])
    child.kill()

    assert parent == os.getpid()


def test_it_is_asked_first_and_killed_after_its_grace(tmp_path: Path) -> None:
    polite = shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done", tmp_path / "polite")
    deaf = shell("trap '' TERM; echo up; while :; do sleep 0.05; done", tmp_path / "deaf")
    poll(lambda: polite.tail() == deaf.tail() == "up")

    assert polite.stop() == 0
    assert polite.tail() == "up\nbye"
    assert deaf.stop(grace=0.1) == -9


def test_what_it_started_itself_is_killed_with_it(tmp_path: Path) -> None:
    child = shell("sleep 600 & echo $!; wait", tmp_path / "log")
    grandchild = int(poll(child.tail))

    child.kill()

    poll(lambda: ended(grandchild))


def test_a_program_that_cannot_run_says_why(tmp_path: Path) -> None:
    child = Child.spawn("ghost", [tmp_path / "ghost"], log=tmp_path / "log")

    assert child.wait(30) == 127
    assert child.tail() == f"cannot run {tmp_path / 'ghost'}: No such file or directory"


def test_a_killed_parent_takes_its_child_along(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        # Killed any earlier, the parent would be missed by the shim's own check, and not by the kernel.
        poll(lambda: Path(f"/proc/{child}/comm").read_text() == "sleep\n")
        parent.kill()

    poll(lambda: ended(child))


def test_another_thread_may_not_spawn_for_its_end_would_end_the_child(tmp_path: Path) -> None:
    refusals: list[PlaneError] = []

    def spawn() -> None:
        with pytest.raises(PlaneError, match="main thread") as refused:
            shell("exit 0", tmp_path / "log")
        refusals.append(refused.value)

    thread = threading.Thread(target=spawn)
    thread.start()
    thread.join(30)

    assert len(refusals) == 1
