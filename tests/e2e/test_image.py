"""The image itself, run by runc: any user, no capability, and a root file system that cannot be written."""

import json
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tests.e2e.image import Image
from tests.e2e.node.images import unpack_image
from tests.e2e.node.programs import NodeError, install_packages

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

OF_THE_IMAGE, OF_OPENSHIFT = 65532, 1000710000
Run = Callable[[int, list[str]], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def unpacked(
    image: Image, tmp_path_factory: pytest.TempPathFactory, report: Callable[[str], None]
) -> tuple[Path, dict[str, Any]]:
    """The files of the image, and the configuration of its containers."""
    assert image.archive is not None, "--image names an image that is elsewhere: run this file without it"
    try:
        install_packages(report)
    except NodeError as error:
        pytest.exit(str(error), returncode=1)
    folder = tmp_path_factory.mktemp("root")
    config = unpack_image(image.archive, folder)
    # pytest's folders are closed to other users.
    for path in (folder, *folder.parents[:3]):
        path.chmod(0o755)
    return folder, config


@pytest.fixture
def run(unpacked: tuple[Path, dict[str, Any]], tmp_path: Path) -> Run:
    """Run arguments behind the entrypoint of the image."""
    root, config = unpacked

    def run_it(user: int, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        name = f"image-{uuid.uuid4().hex[:8]}"
        process = {
            "user": {"uid": user, "gid": 0},
            "args": arguments,
            "env": config["Env"],
            "cwd": "/",
            "capabilities": {},
            "noNewPrivileges": True,
        }
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},  # noqa: S108
        ]
        spaces = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]
        bundle = {
            "ociVersion": "1.0.2",
            "process": process,
            "root": {"path": str(root), "readonly": True},
            "mounts": mounts,
            "linux": {"namespaces": spaces},
        }
        (tmp_path / "config.json").write_text(json.dumps(bundle))
        return subprocess.run(
            ["runc", "run", "--bundle", tmp_path, name], capture_output=True, text=True, check=False, timeout=120
        )

    return run_it


@pytest.mark.parametrize("user", [OF_THE_IMAGE, OF_OPENSHIFT])
def test_the_operator_runs_as_any_user_on_a_root_that_cannot_be_written(run: Run, unpacked, user: int) -> None:
    entrypoint = unpacked[1]["Entrypoint"]

    version, controller = run(user, [*entrypoint, "--version"]), run(user, [*entrypoint, "controller", "--help"])

    assert version.stdout.strip() == f"tallystick {tallystick.__version__}", version.stderr
    assert "Run the controller" in controller.stdout, controller.stderr


@pytest.mark.parametrize("user", [OF_THE_IMAGE, OF_OPENSHIFT])
def test_nothing_of_the_image_can_be_written(run: Run, user: int) -> None:
    written = run(user, ["python3", "-c", "open('/opt/tallystick/new', 'w')"])

    assert "Read-only file system" in written.stderr


def test_the_image_has_no_name_for_another_user(run: Run) -> None:
    """The story runs all pods as this user, so no process needs a name."""
    named = run(OF_OPENSHIFT, ["python3", "-c", "import getpass; print(getpass.getuser())"])

    assert (named.stdout, named.returncode) == ("", 1)


def test_the_user_is_a_number_other_than_roots(unpacked: tuple[Path, dict[str, Any]]) -> None:
    number, _, _ = unpacked[1]["User"].partition(":")

    assert int(number) > 0


def test_the_image_has_neither_the_tests_nor_a_program_that_installs(unpacked: tuple[Path, dict[str, Any]]) -> None:
    root, _ = unpacked

    for name in ("usr/local/bin/uv", "opt/tallystick/bin/pip", "src"):
        assert not (root / name).exists(), name
    assert not list(root.glob("opt/tallystick/lib/python*/site-packages/tests"))
