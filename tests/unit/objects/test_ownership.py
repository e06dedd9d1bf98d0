"""Whose a Secret is: owner uid, type and data keys decide, and a conflict names the owner that it has (S22)."""

import copy

import pytest

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.connections.domain.tokens import CONNECTION_SECRET
from tallystick.objects.held_secrets import secret_body
from tallystick.objects.ownership import belongs_to, find_conflict, held_by_finalizer
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
