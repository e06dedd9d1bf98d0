"""The wheel as people get it: built, installed from an index on this machine, and run without Go in an empty HOME."""

import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tallystick.localplane.build import find_binaries
from tallystick.localplane.gobuild import KUBERNETES_VERSION
from tallystick.localplane.wheel import LICENSES
from tallystick.localplane.wheel import main as write_wheel_project
from tests.harness.proofs import Figure

REPOSITORY = Path(__file__).parents[2]
PACKAGE = "tallystick-controlplane"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Write no line a request."""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """Serve the wheel from a simple index (PEP 503); return its URL."""
    find_binaries(print)
    write_wheel_project(tmp_path / "project", print)
    folder = tmp_path / "index" / PACKAGE
    build = ["build", "--quiet", "--wheel", "--out-dir", str(folder), str(tmp_path / "project")]
    subprocess.run([REPOSITORY / ".tools" / "bin" / "uv", *build], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        (name,) = (one for one in content.namelist() if one.endswith(f"/licenses/{LICENSES}"))
        assert f"\nk8s.io/kubernetes@v{KUBERNETES_VERSION} LICENSE\n" in content.read(name).decode()
    (folder / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>\n')
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder.parent)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], env=environ, capture_output=True, encoding="utf-8", check=False
    )


@pytest.mark.proof(gate=None, soak=1)
@pytest.mark.timeout(1200)
def test_the_demo_runs_from_the_wheel_alone_and_a_changed_byte_is_refused(
    index: str, tmp_path: Path, figure: Figure
) -> None:
    site, home = tmp_path / "site", tmp_path / "home"
    home.mkdir()
    # No Go on this PATH, no cache in this HOME, and no registry that pip could reach: a build fails at once.
    empty = {"HOME": str(home), "PATH": "/nonexistent", "PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_RETRIES": "0"}
    pip = [REPOSITORY / ".tools" / "bin" / "python", "-m", "pip"]
    install = ["install", "--quiet", "--index-url", index, "--target", str(site), PACKAGE]
    subprocess.run([*pip, *install], env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}, check=True)

    demo = run("tallystick", "demo", PYTHONPATH=str(site), **empty)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Done in" in demo.stdout
    assert not (home / ".cache").exists()
    etcd = site / "tallystick_controlplane" / "bin" / "etcd"
    changed = bytearray(etcd.read_bytes())
    changed[len(changed) // 2] ^= 1
    etcd.write_bytes(changed)

    refused = run("tallystick", "demo", PYTHONPATH=str(site), **empty)

    assert refused.returncode != 0
    assert "The installed tallystick-controlplane is not used: the SHA-256 of etcd" in refused.stdout + refused.stderr
    assert "Building the control plane" in refused.stdout + refused.stderr
    figure(demo.stdout.splitlines()[-1].strip("─ "))
