"""A kubeconfig that impersonates: each command acts as that user, and never as the one who may impersonate."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.harness.api import Api
from tests.harness.outside import TALLYSTICK
from tests.harness.system import System

KEYRING = {"kind": "Secret", "metadata": {"namespace": "tallystick-system", "name": "tallystick-keyring"}}


def keys(system: System, folder: Path, command: str, **user: object) -> "subprocess.CompletedProcess[str]":
    document = yaml.safe_load(system.plane.kubeconfig.read_text())
    document["users"][0]["user"].update({name.replace("_", "-"): value for name, value in user.items()})
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    flags = ("signing-keys", command, "--kubeconfig", str(file))
    return subprocess.run([*TALLYSTICK, *flags], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("command", ["list", "rotate"])
def test_the_impersonated_user_must_have_the_permission(
    system: System, admin: Api, tmp_path: Path, command: str
) -> None:
    before = admin.get(KEYRING)

    done = keys(system, tmp_path, command, **{"as": "dana"})

    assert done.returncode == 1, done.stdout
    assert 'User "dana" cannot get resource "secrets"' in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert admin.get(KEYRING) == before


def test_the_groups_of_the_impersonated_user_count(system: System, tmp_path: Path) -> None:
    done = keys(system, tmp_path, "list", **{"as": "dana"}, as_groups=["system:masters"])

    assert done.returncode == 0, done.stderr
    assert "signing" in done.stdout
