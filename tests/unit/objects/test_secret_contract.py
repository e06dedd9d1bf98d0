"""What others own in a Secret stays: their metadata in ours, and all of a Secret that is not ours (S22).

Tried with each kind of `registry.KINDS` that has a Secret.
"""

import base64

import pytest

from tallystick.registry import KINDS
from tallystick.schema.builtin import SECRETS
from tests.builders import OTHER_UID
from tests.worlds.contracts import ContractWorld, world_of
from tests.worlds.damages import (
    change_a_label,
    damage_and_make_immutable,
    delete,
    edit_secret,
    edit_the_owner,
    edit_the_token,
    empty_it,
    strip_the_labels,
)

WITH_A_SECRET = [kind for kind in KINDS if kind.secret]
THEIR_LABELS = {"team": "blue", "argocd.argoproj.io/instance": "site"}
THEIR_ANNOTATIONS = {"reflector.v1.k8s.emberstack.com/reflection-allowed": "true", "note": "mine"}
THEIR_FINALIZERS = ["example.com/kept"]
THEIR_REFERENCE = {"apiVersion": "v1", "kind": "ConfigMap", "name": "stack", "uid": OTHER_UID}
THEIR_DATA = {"notes": base64.b64encode(b"not ours").decode()}

of_kinds_with_a_secret = pytest.mark.parametrize("kind", WITH_A_SECRET, ids=lambda kind: kind.resource.kind)


@pytest.fixture
def world(kind) -> ContractWorld:
    return world_of(kind)


def add_their_metadata(world):
    def change(body):
        meta = body["metadata"]
        meta["labels"] |= THEIR_LABELS
        meta |= {"annotations": THEIR_ANNOTATIONS, "finalizers": THEIR_FINALIZERS}
        meta["ownerReferences"].append(THEIR_REFERENCE)

    edit_secret(world, change)


def theirs(secret):
    """The metadata in a Secret that others have added."""
    meta = secret["metadata"]
    labels = {key: value for key, value in meta["labels"].items() if key in THEIR_LABELS}
    return labels, meta.get("annotations"), meta.get("finalizers"), meta["ownerReferences"][1:]


ALL_THEIRS = (THEIR_LABELS, THEIR_ANNOTATIONS, THEIR_FINALIZERS, [THEIR_REFERENCE])


def content(secret):
    meta = secret["metadata"]
    ours = {key: value for key, value in meta["labels"].items() if key not in THEIR_LABELS}
    return secret["data"], secret["type"], ours, meta["ownerReferences"][0]


# Their metadata.


@of_kinds_with_a_secret
async def test_metadata_of_others_is_no_drift_and_costs_nothing(world, kind):
    await world.settle()
    decisions = world.audit.decisions()
    add_their_metadata(world)

    await world.reconcile()
    world.restart()
    await world.reconcile()

    assert (world.cluster.calls, world.audit.decisions()) == ([], decisions)
    assert theirs(world.secret()) == ALL_THEIRS


@of_kinds_with_a_secret
@pytest.mark.parametrize("damage", [edit_the_token, empty_it, change_a_label, edit_the_owner])
async def test_metadata_of_others_stays_when_the_secret_is_healed(world, kind, damage):
    await world.settle()
    issued = content(world.secret())
    add_their_metadata(world)
    damage(world)

    await world.reconcile()

    assert (content(world.secret()), theirs(world.secret())) == (issued, ALL_THEIRS)
    assert ("delete", "secrets") not in world.writes()


@of_kinds_with_a_secret
async def test_annotations_of_others_stay_when_all_labels_are_put_back(world, kind):
    await world.settle()
    issued = content(world.secret())
    add_their_metadata(world)
    strip_the_labels(world)

    await world.reconcile()

    assert (content(world.secret()), theirs(world.secret())) == (issued, ({}, *ALL_THEIRS[1:]))


@of_kinds_with_a_secret
async def test_metadata_of_others_stays_when_another_token_is_written(world, kind):
    await world.settle()
    issued = content(world.secret())
    add_their_metadata(world)

    world.reissue()
    await world.reconcile()

    (data, *_), labels = issued, issued[2]
    after = content(world.secret())
    assert after[0]["token"] != data["token"]
    assert after[2]["tallystick.dev/token-id"] != labels["tallystick.dev/token-id"]
    assert theirs(world.secret()) == ALL_THEIRS


@of_kinds_with_a_secret
async def test_metadata_of_others_is_carried_to_the_secret_that_replaces_an_immutable_one(world, kind):
    await world.settle()
    issued = content(world.secret())
    add_their_metadata(world)
    edit_secret(world, lambda body: body["metadata"].pop("finalizers"))
    damage_and_make_immutable(world)

    await world.reconcile()

    labels, annotations, _, references = ALL_THEIRS
    assert (content(world.secret()), theirs(world.secret())) == (issued, (labels, annotations, None, references))
    assert not world.secret().get("immutable")


@of_kinds_with_a_secret
async def test_an_immutable_secret_that_a_finalizer_holds_is_reported_and_comes_back_when_it_is_gone(world, kind):
    await world.settle()
    issued = content(world.secret())
    add_their_metadata(world)
    damage_and_make_immutable(world)

    await world.reconcile()
    held, message = world.secret(), world.message()
    await world.reconcile()
    said, again = world.said(), world.secret()
    delete(world)
    await world.reconcile()

    assert held["metadata"]["deletionTimestamp"]
    assert said["Ready"] == ("False", "SecretConflict")
    assert message == (
        f"Secret edge/{held['metadata']['name']} is immutable and is not deleted yet, because it has these finalizers: "
        "example.com/kept. Remove the finalizers. The controller then creates the Secret again."
    )
    assert (again, content(world.secret()), world.said()["Ready"]) == (held, issued, ("True", "Issued"))


@of_kinds_with_a_secret
async def test_a_secret_that_waits_for_its_deletion_is_healed_in_place(world, kind):
    await world.settle()
    issued = content(world.secret())
    add_their_metadata(world)
    edit_secret(world, lambda body: body["metadata"].update(deletionTimestamp="2030-01-01T12:00:00Z"))
    edit_the_token(world)

    await world.reconcile()

    assert (content(world.secret()), theirs(world.secret())) == (issued, ALL_THEIRS)
    assert world.said()["Ready"] == ("True", "Issued")


# A Secret that is not ours, although it names the object as its owner.


def forge(world, kind, *, labelled, **parts):
    """Put a Secret with a forged owner under the name of the object's Secret."""
    meta = world.object().metadata
    name = f"{meta.name}{kind.secret_suffix}"
    if world.secret() is not None:
        delete(world)
    reference = {
        "apiVersion": kind.resource.api_version,
        "kind": kind.resource.kind,
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
    }
    body = {
        "metadata": {
            "name": name,
            "namespace": meta.namespace,
            "labels": {"tallystick.dev/kind": kind.resource.kind} if labelled else {},
            "ownerReferences": [reference],
        },
        **parts,
    }
    return world.cluster.put(SECRETS, body)


def opaque(_):
    return {"type": "Opaque", "data": THEIR_DATA}


def opaque_with_our_keys(_):
    return {"type": "Opaque", "data": {"token": "Zm9yZ2Vk"}}


def without_data(_):
    return {"type": "Opaque"}


def immutable(_):
    return {"type": "Opaque", "data": THEIR_DATA, "immutable": True}


def certificate(_):
    return {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": "", "ca.crt": ""}}


def our_type_with_their_data(kind):
    return {"type": kind.secret.type, "data": {"token": "Zm9yZ2Vk", **THEIR_DATA}}


def our_type_and_immutable_with_their_data(kind):
    return {"type": kind.secret.type, "data": THEIR_DATA, "immutable": True}


FORGERIES = [
    opaque,
    opaque_with_our_keys,
    without_data,
    immutable,
    certificate,
    our_type_with_their_data,
    our_type_and_immutable_with_their_data,
]
of_forgeries = pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.__name__)
labelled_or_not = pytest.mark.parametrize("labelled", [True, False], ids=["labelled", "plain"])
CONFLICT = {"Ready": ("False", "SecretConflict"), "Stalled": ("True", "SecretConflict")}


async def look(world, times=3):
    """Reconcile now, later, and after a restart."""
    for _ in range(times):
        await world.reconcile()
        world.clock.advance(60)
    world.restart()
    await world.reconcile()


def wrote_no_secret(world):
    return not {("replace", "secrets"), ("delete", "secrets")} & set(world.writes())


@of_kinds_with_a_secret
@of_forgeries
@labelled_or_not
async def test_s22_a_secret_with_a_forged_owner_survives_the_issue(world, kind, forgery, labelled):
    world.apply()
    before = forge(world, kind, labelled=labelled, **forgery(kind))

    await look(world)

    meta = world.object().metadata
    assert (world.secret(), wrote_no_secret(world)) == (before, True)
    assert world.said() == CONFLICT
    assert world.message().startswith(
        f"Secret edge/{before['metadata']['name']} already belongs to {kind.resource.kind} edge/{meta.name}, but it"
    )
    assert world.events.reasons() == ["SecretConflict"]


@of_kinds_with_a_secret
@of_forgeries
@labelled_or_not
async def test_s22_a_secret_with_a_forged_owner_in_the_place_of_ours_is_not_healed_over(world, kind, forgery, labelled):
    await world.settle()
    issued = content(world.secret())
    before = forge(world, kind, labelled=labelled, **forgery(kind))

    await look(world)
    world.reissue()
    await look(world)
    untouched, quiet, said = world.secret() == before, wrote_no_secret(world), world.said()["Stalled"]
    delete(world)
    await world.reconcile()

    assert (untouched, quiet, said) == (True, True, ("True", "SecretConflict"))
    assert world.said() == {"Ready": ("True", "Issued")}
    assert content(world.secret())[1:2] == issued[1:2]


@of_kinds_with_a_secret
@of_forgeries
@labelled_or_not
async def test_s22_a_secret_with_a_forged_owner_survives_the_deletion_of_the_object(world, kind, forgery, labelled):
    await world.settle()
    before = forge(world, kind, labelled=labelled, **forgery(kind))

    world.start_deleting()
    await look(world)

    assert (world.secret(), wrote_no_secret(world)) == (before, True)


@of_kinds_with_a_secret
async def test_s22_data_that_others_add_to_our_secret_stops_the_writes_until_it_is_removed(world, kind):
    await world.settle()
    edit_secret(world, lambda body: body["data"].update(THEIR_DATA))
    edited = world.secret()

    await look(world)
    said, message = world.said(), world.message()
    world.reissue()
    await look(world)
    untouched, quiet = world.secret() == edited, wrote_no_secret(world)
    edit_secret(world, lambda body: body["data"].pop("notes"))
    await world.reconcile()

    meta = world.object().metadata
    assert (said, untouched, quiet) == (CONFLICT, True, True)
    assert message == (
        f"Secret edge/{edited['metadata']['name']} already belongs to {kind.resource.kind} edge/{meta.name}, but it "
        "also holds data that the operator does not write: notes. Remove that data, or delete the Secret."
    )
    assert world.said() == {"Ready": ("True", "Issued")}
    assert world.secret()["data"]["token"] != edited["data"]["token"]


@of_kinds_with_a_secret
async def test_s22_a_secret_that_changes_hands_in_the_same_instant_is_neither_replaced_nor_deleted(world, kind):
    await world.settle()
    damage_and_make_immutable(world)
    taken = []

    def take_the_place():
        taken.append(forge(world, kind, labelled=True, **opaque(kind)))

    world.cluster.before_next("delete", "secrets", take_the_place)

    await world.reconcile_until_done()

    assert world.secret() == taken[0]


@of_kinds_with_a_secret
async def test_s22_an_edit_in_the_same_instant_stops_the_deletion_of_an_immutable_secret(world, kind):
    await world.settle()
    damage_and_make_immutable(world)

    def add_a_label():
        edit_secret(world, lambda body: body["metadata"]["labels"].update(team="blue"))

    world.cluster.before_next("delete", "secrets", add_a_label)

    await world.reconcile_until_done()

    assert world.secret()["metadata"]["labels"]["team"] == "blue"


@of_kinds_with_a_secret
async def test_every_secret_that_is_issued_has_the_form_of_its_kind(world, kind):
    await world.settle()

    secret = world.secret()

    assert (secret["type"], kind.secret.foreign_keys(secret)) == (kind.secret.type, [])
