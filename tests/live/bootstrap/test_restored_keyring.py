"""A keyring that was restored or made again begins no second admin token (docs/rules.md#s27)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.objects.labels import BOOTSTRAP_ANNOTATION
from tallystick.pairing.domain.use_cases import RESERVED
from tests.harness.api import Api
from tests.harness.controllers import Controllers, controllers
from tests.harness.processes import poll
from tests.live.bootstrap.parts import GENERATION, KEYRING_BODY, SECRET_BODY, TRIGGER_BODY, ignored

__all__ = ["controllers"]

Json = dict[str, Any]

FIRST = {GENERATION: "1"}


def signing_keys(controllers: Controllers, *arguments: str) -> None:
    """Run `tallystick signing-keys` as an administrator of the cluster would."""
    place = ("--kubeconfig", str(controllers.plane.kubeconfig))
    command = [sys.executable, "-m", "tallystick", "signing-keys", *arguments, *place]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def masters(admin: Api) -> list[Json]:
    return admin.find_all("MasterToken", DEFAULT_NAMESPACE, fieldSelector=f"spec.useCase={RESERVED}")


@pytest.fixture(scope="module")
def backup(controllers: Controllers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup that is older than the one admin token, of which nothing is left."""
    file, admin = tmp_path_factory.mktemp("backup") / "keyring.yaml", controllers.admin
    signing_keys(controllers, "backup", "--out", str(file))
    assert BOOTSTRAP_ANNOTATION not in file.read_text()
    admin.create(TRIGGER_BODY).must_succeed()
    with controllers.leading(**FIRST):
        poll(lambda: admin.find(TRIGGER_BODY) is None)
        (made,) = masters(admin)
        admin.delete(made).must_succeed()
        poll(lambda: masters(admin) == [])
        admin.delete(SECRET_BODY)  # the garbage collector would, some seconds later
    return file


@pytest.mark.parametrize("way", ["restore", "new-keyring"])
def test_no_second_admin_token_is_made_by_losing_the_keyring(controllers: Controllers, backup: Path, way: str) -> None:
    admin = controllers.admin
    admin.delete(KEYRING_BODY).must_succeed()
    arguments = (str(backup),) if way == "restore" else ("--issuer", controllers.url)
    signing_keys(controllers, way, *arguments)
    marked = json.loads(admin.get(KEYRING_BODY)["metadata"]["annotations"][BOOTSTRAP_ANNOTATION])["markedTime"]
    before = ignored(admin)
    admin.create(TRIGGER_BODY).must_succeed()

    with controllers.leading(**FIRST):
        poll(lambda: len(ignored(admin)) > len(before) or admin.find(TRIGGER_BODY) is None)

    (text,) = [one for one in ignored(admin) if one not in before]
    assert text == (
        f"the keyring was restored or replaced at {marked}, so an admin token may have been made before; "
        "set --bootstrap-generation to 2 for another"
    )
    assert (masters(admin), admin.find(SECRET_BODY)) == ([], None)
    assert admin.find(TRIGGER_BODY) is not None
    admin.delete(TRIGGER_BODY).must_succeed()
