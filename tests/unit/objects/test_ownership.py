"""Whose a Secret is: owner uid, type and data keys decide, and a conflict names the owner that it has (S22)."""

import copy

import pytest

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.connections.domain.tokens import CONNECTION_SECRET
from tallystick.objects.held_secrets import labeled_secret_body, secret_body
from tallystick.objects.ownership import SecretForm, belongs_to, find_conflict, held_by_finalizer
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.tokens import PAIRING_SECRET
from tallystick.schema.meta import API_VERSION, ObjectMeta
from tests.builders import OTHER_UID, UID

META = ObjectMeta(name="west", namespace="edge", uid=UID)
PAIRING, CONNECTION = (PAIRING_TOKENS, PAIRING_SECRET), (CONNECTION_CONFIGURATIONS, CONNECTION_SECRET)
ELSEWHERE = "Delete the Secret, or create a PairingToken with a different spec.secretName."


def ours(resource=PAIRING_TOKENS, form=PAIRING_SECRET, **values):
    return secret_body("trust", form, values or {"token": "jwt"}, owner=(resource, META), token_id="id-1")


def a_reference(kind="PairingToken", name="west", uid=UID, *, controller=True, api_version=API_VERSION):
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": controller}


def owned_by(*references):
    body = ours()
    body["metadata"]["ownerReferences"] = list(references)
    return body


def conflict(body):
    return find_conflict(body, PAIRING_TOKENS, META, PAIRING_SECRET)


@pytest.mark.parametrize(("resource", "form"), [PAIRING, CONNECTION])
def test_a_secret_as_the_operator_writes_it_is_ours(resource, form):
    body = ours(resource, form)

    assert belongs_to(body, resource.kind, UID, form)
    assert find_conflict(body, resource, META, form) is None


@pytest.mark.parametrize("data", [None, {}, {"token.any-slot": "", "token": "", "ca.crt": ""}])
def test_missing_data_and_the_tokens_of_any_slot_are_ours(data):
    body = ours(*CONNECTION) | {"data": data}

    assert belongs_to(body, "ConnectionConfiguration", UID, CONNECTION_SECRET)


def test_what_others_have_added_to_the_metadata_does_not_make_it_theirs():
    body = owned_by(a_reference("Pod", uid=OTHER_UID, api_version="v1", controller=False), a_reference())
    body["metadata"] |= {"annotations": {"note": "mine"}, "finalizers": ["example.com/kept"]}

    assert conflict(body) is None


WEST = "already belongs to PairingToken edge/west"
NOT_OWNED = "already exists and is not owned by PairingToken edge/west"


@pytest.mark.parametrize(
    ("references", "problem"),
    [
        pytest.param((), NOT_OWNED, id="no owner"),
        pytest.param((a_reference(controller=False),), NOT_OWNED, id="one that controls nothing"),
        pytest.param(
            (a_reference("Deployment", "web", api_version="apps/v1"),),
            "already belongs to Deployment edge/web",
            id="another kind, with our uid",
        ),
        pytest.param(
            (a_reference("SealedSecret", "trust", OTHER_UID, api_version="bitnami.com/v1alpha1"),),
            "already belongs to SealedSecret edge/trust",
            id="another tool",
        ),
        pytest.param(
            (a_reference(api_version="evil.example/v1"),),
            "already belongs to PairingToken edge/west",
            id="another group",
        ),
        pytest.param(
            (a_reference(api_version="tallystick.dev.evil/v1"),),
            "already belongs to PairingToken edge/west",
            id="longer group",
        ),
        pytest.param((a_reference(api_version=None),), WEST, id="no group"),
        pytest.param(
            (a_reference(name="east", uid=OTHER_UID),), "already belongs to PairingToken edge/east", id="another object"
        ),
        pytest.param(
            (a_reference(uid=OTHER_UID),),
            "already belongs to PairingToken edge/west with a different uid",
            id="an earlier object of the same name",
        ),
        pytest.param(
            (a_reference("ConnectionConfiguration"),),
            "already belongs to ConnectionConfiguration edge/west",
            id="another kind of ours, with our uid",
        ),
        pytest.param((a_reference(name="west\nReady: True", uid=OTHER_UID),), NOT_OWNED, id="no name (S28)"),
        pytest.param((a_reference("Kind of\nours", uid=OTHER_UID),), NOT_OWNED, id="a kind that is no kind (S28)"),
        pytest.param((a_reference(name="a" * 254, uid=OTHER_UID),), NOT_OWNED, id="a name without end (S28)"),
    ],
)
def test_s22_an_owner_is_the_very_object_that_controls_it_and_another_is_named(references, problem):
    body = owned_by(*references)

    assert not belongs_to(body, "PairingToken", UID, PAIRING_SECRET)
    assert (conflict(body).problem, conflict(body).remedy) == (problem, ELSEWHERE)


@pytest.mark.parametrize(
    ("secret_type", "named"),
    [
        ("Opaque", "Opaque"),
        (None, "Opaque"),
        ("kubernetes.io/tls", "kubernetes.io/tls"),
        (CONNECTION_SECRET.type, "tallystick.dev/connection-token"),
        ("a\nforgery", "another"),
        ("a" * 129, "another"),
    ],
)
def test_s22_a_forged_owner_does_not_make_a_secret_of_another_type_ours(secret_type, named):
    body = ours() | {"type": secret_type}

    assert not belongs_to(body, "PairingToken", UID, PAIRING_SECRET)
    assert conflict(body).problem == (
        f"already belongs to PairingToken edge/west, but its type is {named} instead of tallystick.dev/pairing-token"
    )


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (["notes"], "notes"),
        (["token", "b", "a"], "a, b"),
        (["token.blue"], "token.blue"),
        (["heartbeat-url"], "heartbeat-url"),
        (list("abcde"), "a, b, c, and 2 more"),
        (["k" * 253], "k" * 63),
    ],
)
def test_s22_a_secret_with_data_of_others_is_not_ours_and_the_data_is_named(keys, named):
    body = ours() | {"data": dict.fromkeys(keys, "")}

    assert not belongs_to(body, "PairingToken", UID, PAIRING_SECRET)
    assert conflict(body).problem == (
        "already belongs to PairingToken edge/west, but it also holds data that the operator does not write: " + named
    )
    assert conflict(body).remedy == "Remove that data, or delete the Secret."


def test_a_conflict_shows_no_value():
    body = copy.deepcopy(ours())
    body["data"] |= {"notes": "c2VjcmV0"}

    assert "c2VjcmV0" not in repr(conflict(body))


def test_the_finalizers_that_keep_an_immutable_secret_are_named():
    body = {"metadata": {"finalizers": ["example.com/kept"]}}

    assert held_by_finalizer(body).problem == (
        "is immutable and is not deleted yet, because it has these finalizers: example.com/kept"
    )


# Without an owner reference: in another namespace than the object, or to survive it.

COPY = SecretForm("-copy", "example.com/copy", frozenset({"key"}), by_label=True)


def a_copy(namespace="rt", *, form=COPY, **labels):
    owner = (PAIRING_TOKENS, META)
    body = labeled_secret_body("west-copy", form, {"key": "a"}, owner=owner, key_id="k-1", namespace=namespace)
    body["metadata"]["labels"] |= {f"tallystick.dev/{name}": value for name, value in labels.items()}
    return body


def test_a_labeled_secret_says_whose_it_is_and_is_owned_only_where_its_object_is():
    here, there = a_copy(None), a_copy()
    kept = labeled_secret_body("west-copy", COPY, {}, owner=(PAIRING_TOKENS, META), key_id="k-1", owned=False)

    assert there["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "tallystick",
        "tallystick.dev/kind": "PairingToken",
        "tallystick.dev/name": "west",
        "tallystick.dev/namespace": "edge",
        "tallystick.dev/uid": UID,
        "tallystick.dev/key-id": "k-1",
    }
    assert [one["uid"] for one in here["metadata"]["ownerReferences"]] == [UID]
    assert [body["metadata"].get("ownerReferences") for body in (there, kept)] == [None, None]
    assert [body["metadata"]["namespace"] for body in (here, there, kept)] == ["edge", "rt", "edge"]
    assert all(belongs_to(body, "PairingToken", UID, COPY) for body in (here, there, kept))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(a_copy(uid=OTHER_UID), id="of another object"),
        pytest.param(a_copy(uid=""), id="of none"),
        pytest.param(a_copy(kind="MasterToken"), id="of another kind"),
        pytest.param(a_copy() | {"type": "Opaque"}, id="of another type"),
        pytest.param(a_copy() | {"data": {"key": "", "notes": ""}}, id="with data of others"),
        pytest.param({**a_copy(), "metadata": {"name": "west-copy", "namespace": "rt"}}, id="without labels"),
    ],
)
def test_s22_a_labeled_secret_is_ours_by_kind_uid_type_and_data_alone(body):
    assert not belongs_to(body, "PairingToken", UID, COPY)


def test_s22_a_label_does_not_make_a_secret_ours_whose_form_needs_an_owner():
    body = a_copy(form=PAIRING_SECRET) | {"data": {"token": ""}}

    assert not belongs_to(body, "PairingToken", UID, PAIRING_SECRET)


def test_s22_an_owner_of_ours_counts_before_a_label():
    body = a_copy(None, uid=OTHER_UID)

    assert belongs_to(body, "PairingToken", UID, COPY)
    assert not belongs_to(body, "PairingToken", OTHER_UID, COPY)


def test_an_owner_of_another_group_does_not_hide_the_label():
    body = a_copy()
    body["metadata"]["ownerReferences"] = [a_reference("Deployment", "web", OTHER_UID, api_version="apps/v1")]

    assert belongs_to(body, "PairingToken", UID, COPY)
