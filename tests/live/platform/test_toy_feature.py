"""A feature is a folder and a line: CRD, RBAC, watch, reconcile, heal, stall and columns follow from its descriptor.

The toy is `tests/toy_feature/`; the line is in its `main.py`. No other file of the product or of the harness names it.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.localplane.plane import ControlPlane
from tallystick.schema.meta import API_VERSION, GROUP
from tests.harness import api
from tests.harness.api import Api
from tests.harness.controllers import ControllerProcess, Controllers
from tests.harness.grants import grant
from tests.harness.installed import new_namespace
from tests.harness.objects import condition, value_of, wait_for_reason, wait_until_gone
from tests.harness.plane import own_plane
from tests.harness.processes import poll
from tests.toy_feature.feature import RUDE, RUDE_TEXT
from tests.toy_feature.main import FEATURES

__all__ = ["own_plane"]

Json = dict[str, Any]

ROOT = (sys.executable, "-m", "tests.toy_feature.main")
USERS = {name: Installation().service_account(name) for name in (CONTROLLER, EXCHANGE)}


@pytest.fixture(scope="module")
def controllers(own_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controllers]:
    folder = tmp_path_factory.mktemp("toy") / "run"
    with (
        pytest.MonkeyPatch.context() as patch,
        Controllers.on(own_plane, folder, features=FEATURES, root=ROOT) as found,
    ):
        patch.setitem(api._ROOTS, "Greeting", "/apis/tallystick.dev/v1alpha1/namespaces/{namespace}/greetings")
        patch.setenv("TALLYSTICK_SALUTATION", "Welcome")
        yield found


@pytest.fixture(scope="module")
def controller(controllers: Controllers) -> Iterator[ControllerProcess]:
    """A controller with the toy, which runs as its ServiceAccount with no other rights than are installed."""
    with controllers.leading() as process:
        yield process


@pytest.fixture(scope="module")
def admin(controllers: Controllers) -> Api:
    return controllers.admin


@pytest.fixture
def namespace(admin: Api, controller: ControllerProcess) -> str:
    del controller
    return new_namespace(admin, "toy")


def a_greeting(namespace: str, name: str = "site-a", text: str = "site A") -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": "Greeting", "metadata": metadata, "spec": {"text": text}}


def secret_of(greeting: Json) -> Json:
    meta = greeting["metadata"]
    metadata = {"name": f"{meta['name']}-greeting", "namespace": meta["namespace"]}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}


def stored(admin: Api, greeting: Json) -> tuple[Json, Json]:
    """Create a Greeting, and return it and its Secret once it is Ready."""
    admin.create(greeting).must_succeed()
    return wait_for_reason(admin, greeting, "Stored"), admin.get(secret_of(greeting))


def test_a_secret_is_stored_and_the_status_reports_it(admin: Api, namespace: str) -> None:
    found, secret = stored(admin, a_greeting(namespace))

    assert value_of(secret, "greeting") == "Welcome, site A"
    assert secret["type"] == "tallystick.dev/greeting"
    assert [one["uid"] for one in secret["metadata"]["ownerReferences"]] == [found["metadata"]["uid"]]
    assert condition(found, "Ready")["status"] == "True"
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]


def test_kubectl_shows_the_columns_and_knows_the_short_name(admin: Api, namespace: str) -> None:
    stored(admin, a_greeting(namespace))

    header, row = admin.kubectl("get", "grt", "--namespace", namespace).splitlines()

    assert header.split() == ["NAME", "TEXT", "REASON", "AGE"]
    assert row.split()[:4] == ["site-a", "site", "A", "Stored"]


def test_the_schema_rule_holds(admin: Api, namespace: str) -> None:
    found, _ = stored(admin, a_greeting(namespace))

    answer = admin.merge(found, {"spec": {"text": "site B"}})

    assert not answer.succeeded
    assert "text is immutable" in answer.message


def test_the_admission_policy_is_in_force(admin: Api, namespace: str) -> None:
    answer = admin.create(a_greeting(namespace, text=RUDE))

    assert not answer.succeeded
    assert RUDE_TEXT in answer.message


@pytest.mark.parametrize("damage", ["deleted", "edited", "stripped of labels and owner"])
def test_a_damaged_secret_heals(
    admin: Api, namespace: str, controller: ControllerProcess, controllers: Controllers, damage: str
) -> None:
    found, secret = stored(admin, a_greeting(namespace))
    if damage == "deleted":
        admin.delete(secret).must_succeed()
    elif damage == "edited":
        admin.merge(secret, {"data": {"greeting": "Zm9yZ2Vk"}}).must_succeed()
    else:
        admin.merge(secret, {"metadata": {"labels": None}}).must_succeed()

    def healed() -> bool:
        now = admin.find(secret_of(found))
        return now is not None and all(
            (now.get(member), now["metadata"].get("labels")) == (secret[member], secret["metadata"]["labels"])
            for member in ("data", "type")
        )

    poll(healed)
    # The audit line follows the write of the Secret.
    mine = poll(lambda: [line for line in audit_lines(controllers) if line.get("uid") == found["metadata"]["uid"]])
    assert [line["action"] for line in mine] == ["heal"]
    heals = len([line for line in audit_lines(controllers) if line["action"] == "heal"])
    assert f"\ntallystick_toy_heals {heals}.0\n" in controller.get("/metrics")


def audit_lines(controllers: Controllers) -> list[Json]:
    texts = [path.read_text() for path in sorted(controllers.folder.glob("audit-*.jsonl"))]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def test_a_secret_of_another_owner_is_left_alone_and_reported_once(admin: Api, namespace: str) -> None:
    greeting = a_greeting(namespace)
    foreign = admin.create(secret_of(greeting) | {"type": "Opaque", "data": {"greeting": "bWluZQ=="}}).must_succeed()
    admin.create(greeting).must_succeed()

    found = wait_for_reason(admin, greeting, "SecretConflict")

    assert condition(found, "Stalled")["status"] == "True"
    assert admin.get(foreign) == foreign
    event = poll(lambda: [one for one in admin.find_all("Event", namespace) if one["reason"] == "SecretConflict"])
    assert [one["involvedObject"]["name"] for one in event] == ["site-a"]

    admin.delete(foreign).must_succeed()
    found = wait_for_reason(admin, greeting, "Stored")
    assert condition(found, "Stalled") == {}
    assert len([one for one in admin.find_all("Event", namespace) if one["reason"] == "SecretConflict"]) == 1


def test_a_greeting_that_is_deleted_is_not_reconciled_again(admin: Api, namespace: str) -> None:
    found, _ = stored(admin, a_greeting(namespace))

    admin.delete(found, propagation="Orphan").must_succeed()
    wait_until_gone(admin, found)

    other, secret = stored(admin, a_greeting(namespace, "site-b"))
    assert (other["metadata"]["name"], value_of(secret, "greeting")) == ("site-b", "Welcome, site A")


@pytest.mark.parametrize(
    ("account", "verb", "resource", "allowed"),
    [
        (CONTROLLER, "watch", "greetings", True),
        (CONTROLLER, "update", "greetings/status", True),
        (CONTROLLER, "create", "greetings", False),
        (CONTROLLER, "delete", "greetings", False),
        (EXCHANGE, "get", "greetings", True),
        (EXCHANGE, "update", "greetings/status", False),
        (EXCHANGE, "create", "greetings", False),
    ],
)
def test_controller_and_exchange_have_the_rights_of_the_descriptor(
    admin: Api, namespace: str, account: str, verb: str, resource: str, allowed: bool
) -> None:
    assert admin.allowed(USERS[account], verb, resource, namespace=namespace, group=GROUP) == allowed


def test_people_get_their_rights_by_the_same_roles_as_for_other_kinds(admin: Api, namespace: str) -> None:
    grant(admin, namespace, "ann", "tallystick-edit")
    grant(admin, namespace, "bob", "tallystick-view")

    assert admin.as_user("ann").create(a_greeting(namespace)).succeeded
    assert admin.as_user("bob").find(a_greeting(namespace)) is not None
    assert not admin.as_user("bob").create(a_greeting(namespace, "site-b")).succeeded


def test_the_status_is_written_by_the_controller_alone_whatever_rbac_says(admin: Api, namespace: str) -> None:
    found, _ = stored(admin, a_greeting(namespace))
    exchange = admin.as_user(USERS[EXCHANGE], "system:masters")

    answers = [one.merge(found, {"status": {"stored": False}}, subresource="status") for one in (admin, exchange)]

    assert [answer.succeeded for answer in answers] == [False, False]
    assert "may write the status of a Greeting" in answers[1].message


def test_the_metrics_and_the_readiness_page_name_the_toy(
    admin: Api, namespace: str, controller: ControllerProcess
) -> None:
    stored(admin, a_greeting(namespace))

    reconciles = 'tallystick_reconciles_total{kind="Greeting",result="done"}'
    assert poll(lambda: reconciles in controller.get("/metrics"))
    assert json.loads(controller.get("/readyz"))["salutation"] == "Welcome"
