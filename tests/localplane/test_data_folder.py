"""A plane that survives a restart, and one that is killed."""

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.localplane.errors import PlaneError
from tallystick.localplane.folders import data_folder
from tallystick.localplane.home import open_home
from tallystick.localplane.plane import ControlPlane, PlaneOptions
from tests.harness.processes import ended, poll

PLANE = """
import json, sys, time
from pathlib import Path
from tallystick.localplane.plane import ControlPlane, PlaneOptions
plane = ControlPlane.start(PlaneOptions(data_dir=Path(sys.argv[1])), report=lambda _: None)
print(json.dumps([child.pid for child in plane.children]), flush=True)
time.sleep(600)
"""


def silent(line: str) -> None:
    """Hear nothing."""


def kubectl(plane: ControlPlane, *arguments: str) -> str:
    command = [plane.binaries.kubectl, "--kubeconfig", plane.kubeconfig, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def busy_port() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def test_a_data_folder_survives_a_kill_and_a_restart_and_all_children_end(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with subprocess.Popen([sys.executable, "-c", PLANE, str(folder)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        pids = json.loads(holder.stdout.readline())
        kubeconfig = (folder / "pki" / "admin.kubeconfig").read_bytes()
        with pytest.raises(PlaneError, match=f"in use by process {holder.pid}"):
            ControlPlane.start(PlaneOptions(data_dir=folder), report=silent)
        holder.kill()

    poll(lambda: all(ended(pid) for pid in pids))
    assert len(pids) == 3
    with ControlPlane.start(PlaneOptions(data_dir=folder), report=silent) as plane:
        assert plane.kubeconfig.read_bytes() == kubeconfig
        kubectl(plane, "create", "configmap", "kept", "--from-literal=a=b")
        plane.restart_apiserver()
        assert kubectl(plane, "get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "b"
        assert plane.failure() is None
        stopped = plane.children

    assert [child.running for child in stopped] == [False, False, False]
    with ControlPlane.start(PlaneOptions(data_dir=folder), report=silent) as again:
        assert kubectl(again, "get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "b"
        assert again.kubeconfig.read_bytes() == kubeconfig


def test_a_temporary_plane_takes_another_port_leaves_nothing_and_reports_a_server_that_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plane: ControlPlane
) -> None:
    """Another process can take a free port before etcd does. The next try takes another one."""
    (programs := tmp_path / "programs").mkdir()
    (home := tmp_path / "home").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(home))
    unlucky, mark, heard = programs / "etcd", programs / "tried", list[str]()
    unlucky.write_text(
        f"#!/bin/sh\nif mkdir {mark}; then echo 'bind: address already in use'; exit 1; fi\n"
        f'exec {plane.binaries.etcd} "$@"\n'
    )
    unlucky.chmod(0o755)

    with ControlPlane.start(report=heard.append, binaries=replace(plane.binaries, etcd=unlucky)) as second:
        assert second.failure() is None
        root = second.data_dir
        pids = [child.pid for child in second.children]
        second.kill_apiserver()
        failure = second.failure()

    assert mark.exists()
    assert root.parent == home
    assert heard[0] == "etcd is ready."
    assert heard[1] == f"kube-apiserver is ready: {second.server}"
    assert heard[2] == "kube-controller-manager is ready."
    assert failure is not None
    assert "kube-apiserver ended with status -9" in failure
    assert list(home.iterdir()) == []
    assert all(ended(pid) for pid in pids)


def test_a_port_that_is_busy_is_named_with_the_way_out(tmp_path: Path) -> None:
    with busy_port() as listener:
        port = listener.getsockname()[1]

        with pytest.raises(PlaneError) as refused:
            ControlPlane.start(PlaneOptions(data_dir=tmp_path / "data", port=port), report=silent)

    assert f"Port {port} on 127.0.0.1 is in use" in str(refused.value)
    assert "use another port" in str(refused.value)


def test_a_remembered_port_that_is_busy_does_not_turn_the_kubeconfig_elsewhere(tmp_path: Path) -> None:
    home = open_home(tmp_path / "data")
    with busy_port() as listener:
        home.remember_port(listener.getsockname()[1])

        with pytest.raises(PlaneError, match=f"delete {home.layout.state} to use a free port"):
            home.api_server_port(0)
    home.close()


def test_a_server_that_cannot_run_is_reported_with_the_end_of_its_log(tmp_path: Path, plane: ControlPlane) -> None:
    data_folder(tmp_path / "data")
    broken = tmp_path / "etcd"
    broken.write_text("#!/bin/sh\necho no space left on device >&2\nexit 7\n")
    broken.chmod(0o755)
    binaries = replace(plane.binaries, etcd=broken)

    with pytest.raises(PlaneError) as failed:
        ControlPlane.start(PlaneOptions(data_dir=tmp_path / "data"), report=silent, binaries=binaries)

    assert "etcd ended with status 7" in str(failed.value)
    assert "no space left on device" in str(failed.value)
    open_home(tmp_path / "data").close()


def test_the_environment_of_the_user_does_not_reach_the_servers(plane: ControlPlane) -> None:
    etcd = next(child for child in plane.children if child.name == "etcd")
    names = {entry.partition(b"=")[0] for entry in Path(f"/proc/{etcd.pid}/environ").read_bytes().split(b"\0") if entry}

    # The interpreter that becomes etcd sets LC_CTYPE itself where no locale is set (PEP 538).
    assert names <= {b"PATH", b"HOME", b"TMPDIR", b"LC_CTYPE"}
    assert b"PATH" in names
