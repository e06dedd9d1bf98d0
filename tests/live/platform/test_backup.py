"""docs/backup.md, step by step: keys that are lost with and without a backup, and objects that get new uids.

test_restore_etcd.py is about etcd itself.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.crypto.keys import SigningKey
from tallystick.install.installation import CONTROLLER
from tallystick.schema.meta import API_VERSION
from tests.harness.connections import (
    a_connection,
    connected,
    connection_secret_of,
    set_slots,
    token_in,
    wait_for_active,
)
from tests.harness.objects import (
    a_pairing_token,
    condition,
    issued,
    secret_of,
    value_of,
    wait_for_reason,
    wait_for_state,
    wait_until_gone,
    with_spec,
)
from tests.harness.own_system import OwnSystem, own_system
from tests.harness.pairing_site import VERIFIER, Site
from tests.harness.processes import poll
from tests.harness.rotation import restart_controller
from tests.harness.system import REPOSITORY, System
from tests.live.fleet.project_site import Project

__all__ = ["own_system"]

Json = dict[str, Any]

PAGE = (REPOSITORY / "docs" / "backup.md").read_text()
KEYRING: Json = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "tallystick-keyring", "namespace": DEFAULT_NAMESPACE},
}


@dataclass(frozen=True, slots=True)
class Shell:
    """A user's shell in a folder, with kubectl and tallystick, who follows the page."""

    folder: Path
    environment: dict[str, str]
    url: str

    @classmethod
    def of(cls, system: System, folder: Path) -> "Shell":
        path = os.pathsep.join(
            (str(system.plane.binaries.kubectl.parent), str(Path(sys.executable).parent), os.environ["PATH"])
        )
        return cls(folder, {**os.environ, "KUBECONFIG": str(system.plane.kubeconfig), "PATH": path}, system.up.url)

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", command.replace("https://127.0.0.1:8443", self.url)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def steps(title: str) -> list[str]:
    """Read the commands of a section of the page."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE)
    assert found, title
    return re.findall(r"^ *\$ (.*)$", found[1], flags=re.MULTILINE)


@pytest.fixture
def shell(own_system: OwnSystem, tmp_path: Path) -> Shell:
    return Shell.of(own_system, tmp_path)


def make_site_again(system: OwnSystem, namespace: str) -> Site:
    """Look at the namespace of a site through a new system, as its verifier."""
    bearer = system.admin.request_token(namespace, VERIFIER, system.exchange.issuer)
    return Site(system.admin, namespace, system.exchange, bearer)


@dataclass(frozen=True, slots=True)
class Fleet:
    """One object of each kind with a valid token, and what its clients hold."""

    site: Site
    pairing: Json
    connection: Json
    pairing_jwt: str
    master_jwt: str
    connection_jwt: str

    @classmethod
    def at(cls, system: OwnSystem) -> "Fleet":
        site = system.site("backup")
        paired = issued(system.admin, a_pairing_token(site.namespace, "paired"))[1]
        master = system.exchange.redeem(value_of(paired, "token"), key=SigningKey.generate("ES256")).must_succeed()
        pairing = a_pairing_token(site.namespace, "waiting", ttl="24h")
        secret = issued(system.admin, pairing)[1]
        connection = a_connection(site.namespace)
        connected(system.admin, connection)
        return cls(
            site,
            pairing,
            connection,
            value_of(secret, "token"),
            master["access_token"],
            token_in(system.admin, connection),
        )

    @property
    def master(self) -> Json:
        (found,) = self.site.api.find_all("MasterToken", self.site.namespace)
        return found

    @property
    def secrets(self) -> list[Json]:
        return [
            self.site.api.get(name)["data"] for name in (secret_of(self.pairing), connection_secret_of(self.connection))
        ]

    def of_system(self, system: OwnSystem) -> "Fleet":
        """The same fleet, of a system that was started again."""
        site = make_site_again(system, self.site.namespace)
        return replace(self, site=site)

    def reasons(self) -> set[str]:
        bodies = (self.site.api.get(self.pairing), self.master, self.site.api.get(self.connection))
        return {condition(body, "Ready").get("reason", "") for body in bodies}

    def all_say(self, *reasons: str) -> None:
        poll(lambda: self.reasons() == set(reasons), seconds=60)

    def answers(self) -> list[object]:
        """Introspect each token: whether it is active, or the error."""
        exchange, bearer = self.site.exchange, self.site.bearer
        answers = [exchange.introspect(jwt, bearer).body for jwt in (self.pairing_jwt, self.master_jwt)]
        answers.append(exchange.introspect(self.connection_jwt, bearer, deployment_type="Kubernetes").body)
        return [answer.get("active", answer.get("error")) for answer in answers]


GOOD = ("Issued", "Active")
UNAVAILABLE = ["temporarily_unavailable"] * 3


def controller_page(system: System, path: str) -> tuple[int, str]:
    answer = urllib3.request("GET", f"{system.up.health_url(CONTROLLER)}{path}", retries=False, timeout=30.0)
    return answer.status, answer.data.decode()


def gauge(text: str, name: str) -> float:
    return float(re.findall(rf"^{name} (\S+)$", text, flags=re.MULTILINE)[0])


def audited(system: System, action: str) -> int:
    return (system.up.folder / f"audit-{CONTROLLER}.jsonl").read_text().count(f'"action":"{action}"')


def test_a_lost_keyring_is_reported_everywhere_and_comes_back_from_its_backup(
    own_system: OwnSystem, shell: Shell
) -> None:
    admin, exchange = own_system.admin, own_system.exchange
    fleet = Fleet.at(own_system)
    admin.merge(KEYRING, {"metadata": {"annotations": {"example.com/note": "kept"}}}).must_succeed()
    (back_up,) = steps("The backup")
    assert shell.run(back_up).returncode == 0
    assert (shell.folder / "keyring.yaml").stat().st_mode & 0o777 == 0o600
    secrets, created = fleet.secrets, audited(own_system, "create-keyring")

    admin.delete(KEYRING).must_succeed()
    restart_controller(own_system)
    fleet.all_say("KeyringMissing")
    waiting = a_pairing_token(fleet.site.namespace, "while-lost")
    admin.create(waiting).must_succeed()
    message = condition(wait_for_reason(admin, waiting, "KeyringMissing"), "Ready")["message"]
    poll(lambda: exchange.ready().status == 503)

    assert message == (
        f"Secret {DEFAULT_NAMESPACE}/tallystick-keyring with the signing keys does not exist. "
        "Restore it from a backup (docs/backup.md), or start over: tallystick signing-keys new-keyring."
    )
    assert admin.find(KEYRING) is None
    assert fleet.secrets == secrets
    assert fleet.answers() == UNAVAILABLE
    assert exchange.ready().body["reason"] == message
    status, ready = controller_page(own_system, "/readyz")
    assert (status, '"keyring": "KeyringMissing"' in ready, message in ready) == (503, True, True)
    assert gauge(controller_page(own_system, "/metrics")[1], "tallystick_keyring_lost") == 1
    assert gauge(exchange.page("/metrics").decode(), "tallystick_keyring_lost") == 1
    # One event about each: two issued pairing tokens, one that waits, the master token and the configuration.
    lost = poll(lambda: len(found := fleet.site.events("KeyringMissing")) >= 5 and found)
    assert len({event["involvedObject"]["name"] for event in lost}) == len(lost) == 5
    assert audited(own_system, "create-keyring") == created
    pid = own_system.up.children["controller"].pid

    restore, listing, search = steps("Restore the signing keys")
    restored = shell.run(restore)
    assert restored.returncode == 0, restored.stderr
    fleet.all_say(*GOOD)
    wait_for_state(admin, waiting, "Active")
    listed = shell.run(listing)

    assert (" missing " in listed.stdout, listed.stdout.count(" signing ")) == (False, 1)
    poll(lambda: shell.run(search).stdout == "")
    poll(lambda: fleet.answers() == [True, True, True])
    assert fleet.secrets == secrets
    assert admin.get(KEYRING)["metadata"]["annotations"]["example.com/note"] == "kept"
    assert own_system.up.children["controller"].pid == pid
    assert controller_page(own_system, "/readyz")[0] == 200


def test_without_a_backup_the_page_leads_to_new_tokens_and_a_late_backup_brings_the_old_ones_back(
    own_system: OwnSystem, shell: Shell
) -> None:
    admin, exchange = own_system.admin, own_system.exchange
    fleet = Fleet.at(own_system)
    project = Project(admin, fleet.site.namespace, exchange, own_system.up.folder)
    project.apply()
    camera, old_value = project.camera(), project.value()
    assert shell.run(steps("The backup")[0]).returncode == 0
    secrets = fleet.secrets
    admin.delete(KEYRING).must_succeed()
    fleet.all_say("KeyringMissing")

    (start_over,) = steps("Start over without a backup")
    refused = shell.run(start_over.removesuffix(" --abandon-tokens"))
    assert (refused.returncode, admin.find(KEYRING)) == (1, None)
    assert "objects have valid tokens of key" in refused.stderr
    started = shell.run(start_over)
    assert started.returncode == 0, started.stderr
    fleet.all_say("SigningKeyMissing")
    device = camera.body | {"apiVersion": API_VERSION}
    wait_for_reason(admin, device, "SigningKeyMissing")

    assert fleet.secrets == secrets
    poll(lambda: fleet.answers() == [False, False, False])
    poll(lambda: "signingKeys" in exchange.ready().must_succeed())
    assert gauge(controller_page(own_system, "/metrics")[1], "tallystick_signing_keys_missing") == 1
    assert " missing " in shell.run("tallystick signing-keys list").stdout

    # Each object says how to get a new token.
    assert "raise spec.serial to 2" in condition(admin.get(fleet.pairing), "Ready")["message"]
    admin.merge(fleet.pairing, {"spec": {"serial": 2}}).must_succeed()
    assert set_slots(admin, fleet.connection, "default", "second").succeeded
    poll(
        lambda: (
            "second" in {t["slot"] for t in admin.get(fleet.connection)["status"]["tokens"] if t["state"] == "Active"}
        )
    )
    values = admin.get(connection_secret_of(fleet.connection))["data"]
    assert values["token.default"] == secrets[1]["token.default"]
    set_slots(admin, fleet.connection, "second").must_succeed()
    wait_for_active(admin, fleet.connection, ["second"])
    wait_for_state(admin, with_spec(fleet.pairing, serial=2), "Active")
    assert camera.check_in().status == 401
    assert "delete the Device: the device enrolls again" in condition(admin.get(device), "Ready")["message"]
    project.edit(serial=2)
    admin.delete(device).must_succeed()
    value = project.new_value(old_value)
    # The Secret is written before the status, which lets devices enroll.
    poll(lambda: camera.enroll(value).status == 201)
    assert camera.check_in().status == 204

    # The backup turns up after all. It lacks the key of the new tokens.
    would_drop = shell.run("tallystick signing-keys restore keyring.yaml")
    assert would_drop.returncode == 1
    assert "To keep the present keys too, add --merge" in would_drop.stderr
    merged = shell.run("tallystick signing-keys restore keyring.yaml --merge")
    assert merged.returncode == 0, merged.stderr
    poll(lambda: fleet.answers() == [False, True, False])  # the others were replaced
    fleet.all_say(*GOOD)
    poll(lambda: "signingKeys" not in exchange.ready().must_succeed())


def test_objects_that_are_created_again_get_new_tokens_and_the_old_ones_stay_invalid(own_system: OwnSystem) -> None:
    admin = own_system.admin
    fleet = Fleet.at(own_system)
    names = (secret_of(fleet.pairing), connection_secret_of(fleet.connection))
    saved = [admin.get(body) for body in (fleet.pairing, fleet.connection, *names)]
    master = fleet.master
    for body in (fleet.pairing, fleet.connection, master):
        admin.delete(body).must_succeed()
    for body in (fleet.pairing, fleet.connection, master, *names):
        wait_until_gone(admin, body)

    def restore(body: Json) -> Any:
        dropped = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")
        meta = {name: value for name, value in body["metadata"].items() if name not in dropped}
        return admin.create({**body, "metadata": meta})

    refused = restore(master)
    for body in (*saved[2:], *saved[:2]):
        restore(body).must_succeed()
    wait_for_state(admin, fleet.pairing, "Active")
    wait_for_active(admin, fleet.connection, ["default"])

    assert "only the operator can create a MasterToken" in refused.message
    assert fleet.answers() == [False, False, False]
    assert value_of(admin.get(names[0]), "token") != fleet.pairing_jwt
    assert token_in(admin, fleet.connection) != fleet.connection_jwt
