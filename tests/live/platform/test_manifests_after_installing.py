"""`tallystick manifests` is applied by kubectl over what the installer has applied.

Two field managers may own the same value. A list has one owner, so it must be written as the API server stores it.
"""

import subprocess
import sys
from pathlib import Path

import yaml

from tallystick.install.installation import Installation
from tallystick.install.policies import policies
from tallystick.registry import KINDS
from tests.harness.api import Api

OVER_IT = ("apply", "--server-side", "--dry-run=server", "-f", "-")


def test_manifests_are_applied_server_side_without_a_conflict(admin: Api) -> None:
    tallystick = Path(sys.executable).with_name("tallystick")
    written = subprocess.run([tallystick, "manifests"], capture_output=True, text=True, check=True, timeout=180).stdout

    applied = admin.kubectl(*OVER_IT, stdin=written)

    assert len(applied.splitlines()) == len([body for body in yaml.safe_load_all(written) if body])
    assert all(line.endswith("serverside-applied (server dry run)") for line in applied.splitlines())


def test_the_bindings_of_a_release_that_watches_some_namespaces_are_applied_without_a_conflict(admin: Api) -> None:
    watching = Installation(release="watching", watch_namespaces=("nowhere",))
    written = yaml.safe_dump_all(policies(watching, KINDS, ()))
    admin.kubectl("apply", "--server-side", "--field-manager=another-tool", "-f", "-", stdin=written)
    try:
        applied = admin.kubectl(*OVER_IT, stdin=written)
    finally:
        admin.kubectl("delete", "-f", "-", stdin=written)

    assert len(applied.splitlines()) == 2
