"""Other tools mark our Secrets, and forge or fill Secrets under our names: what they own stays (S22)."""

from collections.abc import Callable
from typing import Any

import pytest

from tallystick.install.installation import CONTROLLER, Installation
from tallystick.localplane.plane import ControlPlane
from tests.harness.api import Api
from tests.harness.audit_trail import Trail
from tests.harness.connections import a_connection, connected, connection_secret_of, set_slots, slots, wait_for_active
from tests.harness.installed import install_on
from tests.harness.objects import (
    a_pairing_token,
    condition,
    issued,
    secret_of,
    value_of,
    wait_for_reason,
    wait_for_state,
)
from tests.harness.processes import poll
from tests.harness.system import System

Json = dict[str, Any]

SETTLED_WITHIN = 10.0
NOTES = {"notes": "bWluZQ=="}
# The data key has the name of one of ours.
SAME_KEY = {"token": "bWluZQ=="}
HELD = {"metadata": {"finalizers": ["example.com/kept"]}}
LET_GO = {"metadata": {"finalizers": None}}


@pytest.fixture
def namespace(make_namespace: Callable[[str], str], system: System) -> str:
    return make_namespace("others")


def mark(admin: Api, namespace: str, secret: Json) -> Json:
    """Mark a Secret as a mirror, a GitOps tool, a backup and a team do; return what they have written."""
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stack", "namespace": namespace}}
    uid = (admin.find(settings) or admin.create(settings).must_succeed())["metadata"]["uid"]
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "name": "stack", "uid": uid}
    metadata = {
        "labels": {"team": "blue", "argocd.argoproj.io/instance": "site"},
        "annotations": {"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"},
        "finalizers": ["example.com/kept"],
        "ownerReferences": [*admin.get(secret)["metadata"]["ownerReferences"], theirs],
    }
    admin.merge(secret, {"metadata": metadata}).must_succeed()
    return marks(admin.get(secret))


def marks(secret: Json) -> Json:
    """The part of the metadata that others have written."""
    meta = secret["metadata"]
    labels = {key: value for key, value in meta["labels"].items() if not key.startswith(("tallystick.dev/", "app."))}
    return {"labels": labels, "references": meta["ownerReferences"][1:]} | {
        key: meta.get(key) for key in ("annotations", "finalizers")
    }


def damage(admin: Api, secret: Json, key: str) -> None:
    """Edit our part of a Secret, and wait until it is as before."""
    before = admin.get(secret)
    forged = {"metadata": {"labels": {"tallystick.dev/name": "forged"}}, "data": {key: "Zm9yZ2Vk"}}
    admin.merge(secret, forged).must_succeed()

    def healed() -> bool:
        found = admin.get(secret)
        return (found["data"], found["metadata"]["labels"]) == (before["data"], before["metadata"]["labels"])

    poll(healed, seconds=SETTLED_WITHIN)


def test_what_other_tools_write_on_our_secrets_stays_and_writes_nothing(
    admin: Api, system: System, namespace: str
) -> None:
    token, configuration = a_pairing_token(namespace), a_connection(namespace, tokens=slots("old"))
    issued(admin, token)
    connected(admin, configuration)
    secrets = {"token": secret_of(token), "token.old": connection_secret_of(configuration)}
    trail = Trail(system.plane.audit_log)
    since = trail.mark()

    written = [mark(admin, namespace, secret) for secret in secrets.values()]
    untouched = trail.settled(admin, namespace, since=since)
    for key, secret in secrets.items():
        damage(admin, secret, key)
    healed = [marks(admin.get(secret)) for secret in secrets.values()]
    admin.merge(token, {"spec": {"serial": 2}}).must_succeed()
    set_slots(admin, configuration, "old", "new").must_succeed()
    second = wait_for_state(admin, token, "Active")
    third = wait_for_active(admin, configuration, ["old", "new"])
    reissued = [admin.get(secret) for secret in secrets.values()]
    for secret in secrets.values():
        admin.merge(secret, LET_GO).must_succeed()

    assert untouched == []
    assert healed == written
    assert [marks(secret) for secret in reissued] == written
    assert [value_of(secret, "token-id") for secret in reissued] == [
        second["status"]["tokenID"],
        third["status"]["currentTokenID"],
    ]


def test_what_others_write_on_installed_objects_stays_when_they_are_installed_again(
    admin: Api, plane: ControlPlane, installed: Installation
) -> None:
    objects = [
        {"kind": "CustomResourceDefinition", "metadata": {"name": "pairingtokens.tallystick.dev"}},
        {"kind": "ClusterRole", "metadata": {"name": installed.cluster_name(CONTROLLER)}},
        {"kind": "ClusterRoleBinding", "metadata": {"name": installed.cluster_name(CONTROLLER)}},
        {"kind": "ValidatingAdmissionPolicy", "metadata": {"name": installed.cluster_name("writers")}},
        {"kind": "Namespace", "metadata": {"name": installed.namespace}},
        {
            "kind": "ServiceAccount",
            "metadata": {"name": installed.name_of(CONTROLLER), "namespace": installed.namespace},
        },
    ]
    note = {"labels": {"team": "blue"}, "annotations": {"example.com/note": "mine"}}
    marked = [admin.merge(body, {"metadata": note}).must_succeed() for body in objects]

    install_on(plane.kubeconfig, installed)

    after = [admin.get(body) for body in objects]
    for body in objects:
        admin.merge(body, {"metadata": {"labels": {"team": None}, "annotations": {"example.com/note": None}}})
    assert [theirs(body) for body in after] == [theirs(body) for body in marked] == [("blue", "mine")] * len(objects)


def theirs(body: Json) -> tuple[str | None, str | None]:
    meta = body["metadata"]
    return meta.get("labels", {}).get("team"), meta.get("annotations", {}).get("example.com/note")


def forgery(secret: Json, owner: Json) -> Json:
    """An Opaque Secret of others under our name, with all that marks ours: label, owner and its true uid."""
    names = {key: owner["metadata"][key] for key in ("name", "uid")}
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True, **names}
    labels = {"app.kubernetes.io/managed-by": "tallystick", "tallystick.dev/kind": owner["kind"]}
    metadata = secret["metadata"] | {"labels": labels, "ownerReferences": [reference]}
    return secret | {"metadata": metadata, "type": "Opaque", "data": SAME_KEY}


def conflict_of(body: Json) -> str:
    """The reported conflict with a forgery."""
    kind, meta = body["kind"], body["metadata"]
    name, suffix = f"{meta['namespace']}/{meta['name']}", {"PairingToken": "pairing"}.get(kind, "connection")
    return (
        f"Secret {name}-{suffix}-token already belongs to {kind} {name}, but its type is Opaque instead of "
        f"tallystick.dev/{suffix}-token. Delete the Secret, or create a {kind} with a different spec.secretName."
    )


def test_s22_an_opaque_secret_with_a_forged_owner_survives_issue_expiry_and_deletion(
    admin: Api, namespace: str
) -> None:
    token, waiting = a_pairing_token(namespace, ttl="10s"), a_pairing_token(namespace, "waiting")
    configuration = a_connection(namespace)
    # In the place of ours: the controller restores a Secret ever more slowly, so the forger is faster at last.
    owner, secret = issued(admin, token)

    def put() -> Json | None:
        admin.delete(secret)
        answer = admin.create(forgery(secret_of(token), owner))
        return answer.body if answer.succeeded else None

    forged = [poll(put)]
    # In the way of ours: the owner is not issued while its Secret is that of others, who then learn its uid.
    for body, name in ((waiting, secret_of(waiting)), (configuration, connection_secret_of(configuration))):
        taken = admin.create(name | {"type": "Opaque", "data": SAME_KEY}).must_succeed()
        admin.create(body).must_succeed()
        owner = wait_for_reason(admin, body, "SecretConflict")
        admin.merge(taken, {"metadata": forgery(name, owner)["metadata"]}).must_succeed()
        forged.append(admin.get(taken))

    def reported(body: Json) -> bool:
        return bool(condition(admin.get(body), "Stalled").get("message") == conflict_of(body))

    for body in (waiting, configuration):
        poll(lambda body=body: reported(body), seconds=SETTLED_WITHIN)
    expired = wait_for_state(admin, token, "Expired")
    poll(lambda: reported(token), seconds=SETTLED_WITHIN)
    for body in (token, waiting, configuration):
        admin.merge(body, HELD).must_succeed()
        admin.delete(body).must_succeed()
    issued(admin, a_pairing_token(namespace, "sentinel"))  # so the controller has seen the deletions
    after = [admin.get(secret) for secret in forged]
    # The garbage collector of Kubernetes ends what names an owner that is gone; the forger undoes the forgery.
    for secret in forged:
        admin.merge(secret, {"metadata": {"ownerReferences": None}}).must_succeed()
    for body in (token, waiting, configuration):
        admin.merge(body, LET_GO).must_succeed()

    assert after == forged
    assert expired["status"]["state"] == "Expired"
    assert [admin.get(secret)["data"] for secret in forged] == [SAME_KEY] * 3


def test_s22_data_that_a_user_adds_to_our_secrets_is_reported_and_stays(admin: Api, namespace: str) -> None:
    token, configuration = a_pairing_token(namespace), a_connection(namespace, tokens=slots("old"))
    issued(admin, token)
    connected(admin, configuration)
    secrets = {token["kind"]: secret_of(token), configuration["kind"]: connection_secret_of(configuration)}

    edited = [admin.merge(secret, {"data": NOTES}).must_succeed() for secret in secrets.values()]
    reported = [wait_for_reason(admin, body, "SecretConflict") for body in (token, configuration)]
    admin.merge(token, {"spec": {"revoked": True}}).must_succeed()
    set_slots(admin, configuration, "old", "new").must_succeed()
    wait_for_state(admin, token, "Revoked")
    issued(admin, a_pairing_token(namespace, "sentinel"))
    kept = [admin.get(secret) for secret in secrets.values()]
    for secret in secrets.values():
        admin.merge(secret, {"data": {"notes": None}}).must_succeed()
    wait_for_active(admin, configuration, ["old", "new"])
    poll(lambda: admin.find(secrets["PairingToken"]) is None)

    assert kept == edited
    assert [condition(body, "Ready")["message"] for body in reported] == [
        f"Secret {namespace}/{secret['metadata']['name']} already belongs to {kind} {namespace}/"
        f"{secret['metadata']['name'].removesuffix('-pairing-token').removesuffix('-connection-token')}, but it also "
        "holds data that the operator does not write: notes. Remove that data, or delete the Secret."
        for kind, secret in secrets.items()
    ]
