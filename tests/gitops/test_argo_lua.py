"""Argo CD's own Lua gives the results of the interpreter that the offline tests use, for each state."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gitops.customizations import EXAMPLE, enabled_actions, health_of, rendered
from tests.gitops.programs import argo_programs
from tests.kstatus.states import states

Json = dict[str, Any]

# The first one compiles Argo CD.
pytestmark = [pytest.mark.gitops, pytest.mark.timeout(3600)]

STATES = states()
EVERY_STATE = pytest.mark.parametrize("name", STATES)


@dataclass(frozen=True, slots=True)
class Command:
    """The command `argocd admin settings resource-overrides` with our argocd-cm."""

    program: Path
    folder: Path

    def run(self, what: str, body: Json, *more: str) -> str:
        """Run one of its commands on an object, and return what it prints."""
        (self.folder / "object.yaml").write_text(json.dumps(body))
        config = ("--argocd-cm-path", str(self.folder / "argocd-cm.yaml"))
        command = [self.program, "admin", "settings", "resource-overrides", what, self.folder / "object.yaml", *more]
        environment = {**os.environ, "ARGOCD_BINARY_NAME": "argocd", "HOME": str(self.folder)}
        done = subprocess.run(
            [*command, *config], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    folder = tmp_path_factory.mktemp("argocd")
    (config,) = rendered(EXAMPLE / "argocd" / "overlay")
    (folder / "argocd-cm.yaml").write_text(json.dumps(config))
    return Command(argo_programs().argocd, folder)


@EVERY_STATE
def test_health_is_the_same(command: Command, name: str) -> None:
    body = STATES[name]
    lines = command.run("health", body).splitlines()

    assert lines[0] == f"STATUS: {health_of(body)['status']}"
    if not body["metadata"].get("deletionTimestamp"):
        assert lines[1] == f"MESSAGE: {health_of(body)['message']}"


@EVERY_STATE
def test_actions_are_the_same(command: Command, name: str) -> None:
    body = STATES[name]
    _, *rows = (line.split() for line in command.run("list-actions", body).splitlines())

    assert sorted(action for action, disabled in rows if disabled == "false") == enabled_actions(body)
    for action in enabled_actions(body):
        assert command.run("run-action", body, action).startswith("Following fields have been changed:")


def test_a_rotation_is_created_with_its_fields(command: Command) -> None:
    body = STATES["PairingToken Issued"]
    project = {**body, "spec": {**body["spec"], "purpose": "DeviceProject"}}

    text = command.run("run-action", project, "rotate")

    assert text.startswith("Following resource was created:")
    assert "kind: TokenRotation" in text
    assert f"name: {body['metadata']['name']}" in text
