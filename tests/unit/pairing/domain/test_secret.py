"""The Secret of a pairing token: R7, R90, S22 (how we know our own, and that nothing in it has changed)."""

import base64
import copy

import pytest

from tallystick.objects.held_secrets import HeldSecret, content_digest, held_token
from tallystick.pairing.domain.token_claims import grant
from tallystick.pairing.domain.tokens import PAIRING_SECRET, pairing_secret
from tests.builders import OTHER_UID, UID, a_pairing_token, a_policy
from tests.fakes import NOON

TOKEN = a_pairing_token()
FORMS = {"PairingToken": PAIRING_SECRET}
GRANT = grant(TOKEN, a_policy(), now=NOON, key_id="k1")


def a_secret(ca_pem=None):
    return pairing_secret(TOKEN, GRANT, "the-signed-token", ca_pem)


def stored(**meta):
    body = a_secret()
    body["metadata"] |= {"uid": "s1", "resourceVersion": "7", **meta}
    return body


def test_r90_the_secret_holds_the_token_its_id_and_its_life():
    values = {key: base64.b64decode(value).decode() for key, value in a_secret()["data"].items()}

    assert values == {
        "token": "the-signed-token",
        "token-id": GRANT.token_id,
        "expires-in": "300",
        "expires-at": "2030-01-01T12:05:00Z",
    }


def test_the_ca_of_the_exchange_stands_beside_the_token():
    assert base64.b64decode(a_secret("PEM")["data"]["ca.crt"]) == b"PEM"


def test_r7_the_secret_can_be_found_by_its_labels_and_belongs_to_its_object():
    meta = a_secret()["metadata"]

    assert (meta["name"], meta["namespace"]) == ("press-1-pairing-token", "edge")
    assert meta["labels"] == {
        "app.kubernetes.io/managed-by": "tallystick",
        "tallystick.dev/kind": "PairingToken",
        "tallystick.dev/name": "press-1",
        "tallystick.dev/token-id": GRANT.token_id,
    }
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "tallystick.dev/v1alpha1",
            "kind": "PairingToken",
            "name": "press-1",
            "uid": UID,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]


def change(path, value):
    body = copy.deepcopy(stored())
    *parents, last = path
    part = body
    for step in parents:
        part = part[step]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return body


LABELS = ("metadata", "labels")


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(change(("data", "token"), "Zm9yZ2Vk"), id="the token"),
        pytest.param(change(("data", "token"), None), id="the token is gone"),
        pytest.param(change(("data", "expires-in"), "OTk5OTk="), id="the life"),
        pytest.param(change(("data", "more"), "Zm9yZ2Vk"), id="one more value"),
        pytest.param(change(("data",), None), id="all values"),
        pytest.param(change(("type",), "Opaque"), id="the type"),
        pytest.param(change((*LABELS, "tallystick.dev/token-id"), None), id="the label by which it is found"),
        pytest.param(change((*LABELS, "tallystick.dev/name"), "press-2"), id="another object's name"),
        pytest.param(change(LABELS, None), id="all labels"),
        pytest.param(change(("metadata", "ownerReferences"), []), id="the owner"),
        pytest.param(change(("metadata", "ownerReferences", 0, "uid"), OTHER_UID), id="another owner"),
        pytest.param(change(("metadata", "ownerReferences", 0, "name"), "press-2"), id="the owner's name"),
        pytest.param(change(("metadata", "ownerReferences", 0, "blockOwnerDeletion"), True), id="how it is owned"),
    ],
)
def test_s22_a_secret_is_seen_to_be_edited_in(changed):
    assert content_digest(changed) != content_digest(stored())


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(change((*LABELS, "team"), "presses"), id="a label of somebody else"),
        pytest.param(change(("metadata", "annotations"), {"note": "mine"}), id="an annotation"),
        pytest.param(change(("metadata", "finalizers"), ["example.com/kept"]), id="a finalizer"),
        pytest.param(change(("metadata", "managedFields"), [{"manager": "argocd"}]), id="its field managers"),
        pytest.param(change(("metadata", "resourceVersion"), "8"), id="its version"),
        pytest.param(change(("immutable",), True), id="being immutable"),
    ],
)
def test_what_is_not_ours_in_a_secret_is_no_edit(changed):
    assert content_digest(changed) == content_digest(stored())


def test_s22_labels_prove_nothing():
    forged = change(("metadata", "ownerReferences"), [])

    assert HeldSecret.from_body(forged, FORMS).owner_uid is None


def test_what_is_kept_of_a_secret_holds_none_of_its_values():
    held = HeldSecret.from_body(stored(), FORMS)

    assert "the-signed-token" not in repr(held)
    assert (held.namespace, held.name, held.uid, held.immutable) == ("edge", "press-1-pairing-token", "s1", False)


@pytest.mark.parametrize(
    "data", [None, {}, {"token": None}, {"token": "not base64!"}, {"token": "w7w="}, {"other": ""}]
)
def test_no_token_is_held_in(data):
    assert held_token({"data": data}) is None


def test_the_token_is_read_back():
    assert held_token(stored()) == "the-signed-token"
