"""`tallystick up` that ends during its start leaves no keys in the folder for temporary files."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tallystick.localplane.build import NAMES
from tallystick.localplane.probe import free_ports
from tests.harness.processes import poll

# It is a plane without the other parts of `tallystick up`, which would take longer to import.
PLANE = "from tallystick.localplane.plane import ControlPlane; ControlPlane.start()"


def started(folder: Path, *command: str) -> "subprocess.Popen[str]":
    """Start Python with a command that starts a control plane whose etcd never gets ready."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name in NAMES:
        (programs / name).write_text("#!/bin/sh\nexec sleep 600\n")
        (programs / name).chmod(0o700)
    return subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "KUBEBUILDER_ASSETS": str(programs), "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


def folders_with_keys(folder: Path) -> set[Path]:
    return {log.parent for log in (folder / "tmp").glob("*/etcd.log") if (log.parent / "pki" / "ca.key").exists()}


def test_a_closed_terminal_and_the_next_start_after_a_kill_leave_no_keys(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    killed = started(tmp_path, "-c", PLANE)
    poll(lambda: folders_with_keys(tmp_path))
    left = folders_with_keys(tmp_path)
    killed.kill()
    killed.communicate()

    next_one = started(tmp_path, "-m", "tallystick", "up", "--listen", f"127.0.0.1:{free_ports(1)[0]}")
    poll(lambda: folders_with_keys(tmp_path) - left)
    now = folders_with_keys(tmp_path)
    next_one.send_signal(signal.SIGHUP)
    _, said = next_one.communicate(timeout=60)

    assert len(left) == 1
    assert not left & now
    assert (next_one.returncode, said) == (128 + signal.SIGHUP, "")
    assert list((tmp_path / "tmp").iterdir()) == []
