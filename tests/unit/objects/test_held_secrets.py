"""How we know a Secret of ours, whichever kind it belongs to (S22). Of pairing tokens: test_pairing_secrets.py."""

import base64
import copy

import pytest

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.objects.held_secrets import (
    HeldSecret,
    content_digest,
    held_token,
    labeled_secret_body,
    secret_body,
)
from tallystick.objects.kind import forms_of
from tallystick.objects.ownership import SecretForm
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.schema.meta import ObjectMeta
from tests.builders import OTHER_UID, UID

FORMS = {kind.resource.kind: kind.secret for kind in KINDS if kind.secret}
BY_TYPE = forms_of(KINDS)
META = ObjectMeta(name="west", namespace="edge", uid=UID)


def a_secret(resource=CONNECTION_CONFIGURATIONS, *, labelled=True, **values):
    token_id = "id-1" if labelled else None
    form = FORMS[resource.kind]
    return secret_body("trust", form, values or {"token": "jwt"}, owner=(resource, META), token_id=token_id)


@pytest.mark.parametrize("resource", [PAIRING_TOKENS, CONNECTION_CONFIGURATIONS], ids=str)
def test_a_secret_names_the_object_that_it_belongs_to(resource):
    secret = a_secret(resource)

    assert secret["metadata"]["labels"]["tallystick.dev/kind"] == resource.kind
    assert (secret["metadata"]["ownerReferences"][0]["uid"], secret["type"]) == (UID, FORMS[resource.kind].type)


def test_a_secret_without_a_token_to_copy_has_no_label_of_one():
    assert "tallystick.dev/token-id" not in a_secret(labelled=False)["metadata"]["labels"]


def test_s22_the_same_values_of_two_kinds_are_two_contents():
    assert content_digest(a_secret(PAIRING_TOKENS)) != content_digest(a_secret(CONNECTION_CONFIGURATIONS))


def test_the_order_of_values_and_what_others_have_added_is_no_change():
    first, second = a_secret(a="1", b="2"), a_secret(b="2", a="1")
    second["metadata"]["annotations"] = {"note": "mine"}
    second["metadata"]["labels"]["team"] = "blue"

    assert content_digest(first) == content_digest(second)


@pytest.mark.parametrize("key", ["token", "token.default"])
def test_a_token_is_read_back_by_its_key(key):
    body = {"data": {key: base64.b64encode(b"a.jwt").decode()}}

    assert held_token(body, key) == "a.jwt"
    assert held_token(body, "token.other") is None


def test_what_is_kept_of_a_secret_compares_without_its_version():
    stored = a_secret()
    stored["metadata"] |= {"uid": "s1", "resourceVersion": "7"}
    later = copy.deepcopy(stored)
    later["metadata"]["resourceVersion"] = "8"

    assert HeldSecret.from_body(stored, BY_TYPE) == HeldSecret.from_body(later, BY_TYPE)
    assert "jwt" not in repr(HeldSecret.from_body(stored, BY_TYPE))


# The cache decides by the function that the writers use: test_ownership.py tries its cases.


def cached(change=lambda _: None):
    body = a_secret(PAIRING_TOKENS)
    body["metadata"] |= {"uid": "s1", "resourceVersion": "7"}
    change(body)
    return HeldSecret.from_body(body, BY_TYPE)


@pytest.mark.parametrize(
    ("change", "owner", "controller"),
    [
        pytest.param(lambda _: None, UID, UID, id="ours"),
        pytest.param(lambda body: body.update(type="Opaque"), None, UID, id="another type"),
        pytest.param(lambda body: body["data"].update(notes=""), None, UID, id="data of others"),
        pytest.param(lambda body: body["metadata"].update(ownerReferences=None), None, None, id="no owner"),
        pytest.param(
            lambda body: body["metadata"]["ownerReferences"][0].update(uid=OTHER_UID),
            OTHER_UID,
            OTHER_UID,
            id="of another object",
        ),
        pytest.param(
            lambda body: body["metadata"]["ownerReferences"][0].update(kind="MasterToken"),
            None,
            UID,
            id="of a kind without a Secret",
        ),
    ],
)
def test_s22_the_cache_keeps_whose_a_secret_is_and_whom_it_names(change, owner, controller):
    held = cached(change)

    assert (held.owner_uid, held.controller_uid) == (owner, controller)


def test_a_secret_that_waits_for_its_deletion_is_seen():
    assert cached(lambda body: body["metadata"].update(deletionTimestamp="2030-01-01T12:00:00Z")).is_terminating
    assert not cached().is_terminating


# Secrets with the uid of their object in a label.


def a_masked(_, value):
    return "masked " + str(len(value))


COPY = SecretForm("-copy", "example.com/copy", frozenset({"key"}), by_label=True, shown=a_masked)


def a_copy(value="0123", **labels):
    body = labeled_secret_body("c", COPY, {"key": value}, owner=(PAIRING_TOKENS, META), key_id="k", namespace="rt")
    body["metadata"] |= {"uid": "s1", "resourceVersion": "7"}
    body["metadata"]["labels"] |= {f"tallystick.dev/{name}": value for name, value in labels.items()}
    return body


def held_copy(body):
    return HeldSecret.from_body(body, {COPY.type: ("PairingToken", COPY)})


@pytest.mark.parametrize(
    ("body", "owner", "labeled"),
    [
        pytest.param(a_copy(), UID, UID, id="ours"),
        pytest.param(a_copy(uid=OTHER_UID), OTHER_UID, OTHER_UID, id="of another object"),
        pytest.param(a_copy(kind="MasterToken"), None, UID, id="of another kind"),
        pytest.param(a_copy() | {"type": "Opaque"}, None, UID, id="of another type"),
        pytest.param(a_copy() | {"data": {"notes": ""}}, None, UID, id="data of others"),
    ],
)
def test_s22_the_cache_keeps_whom_a_label_names_and_whether_it_is_believed(body, owner, labeled):
    held = held_copy(body)

    assert (held.owner_uid, held.labeled_uid, held.controller_uid) == (owner, labeled, None)


def test_a_digest_covers_what_the_form_shows_of_a_value():
    expected = a_copy() | {"data": {"key": a_masked("key", a_copy()["data"]["key"])}}

    assert held_copy(a_copy("0123")).content_digest == held_copy(a_copy("4567")).content_digest
    assert held_copy(a_copy("0123")).content_digest == content_digest(expected)
    assert held_copy(a_copy("0123")).content_digest != held_copy(a_copy("0123456")).content_digest


@pytest.mark.parametrize("label", ["uid", "namespace", "name", "kind", "key-id"])
def test_an_edit_of_each_label_of_ours_is_seen(label):
    assert held_copy(a_copy(**{label: "edited"})).content_digest != held_copy(a_copy()).content_digest
