"""The copies of a join key: where they are, and a digest that follows from the status and knows no key."""

import base64

import pytest

from tallystick.clusterkeys.api.join_key import JoinKey
from tallystick.clusterkeys.domain.join_key_copies import (
    JOIN_KEY_COPY,
    copy_body,
    copy_digest,
    key_of,
    places,
    shown_value,
)
from tallystick.clusterkeys.domain.join_key_replacement import Held, Picture
from tallystick.objects.held_secrets import content_digest
from tests.unit.clusterkeys.vectors import a_join_key
from tests.worlds.join_key_world import raw_join_key, targets

FIRST, SECOND = a_join_key(), a_join_key("second", 128)
KEYS = {key.fingerprint: key for key in (FIRST, SECOND)}
ONE, BOTH = Picture(Held(FIRST.fingerprint, 1)), Picture(Held(FIRST.fingerprint, 1), Held(SECOND.fingerprint, 2))


def with_targets(*named, **spec):
    return JoinKey.model_validate(raw_join_key(targets=targets(*named), **spec))


def test_the_own_copy_comes_first_and_equal_targets_are_one():
    found = [(str(place), place.elsewhere) for place in places(with_targets("rt", "mc/x", "rt", "edge", "edge/y"))]

    assert found == [
        ("edge/jpd-1-join-key", False),
        ("rt/jpd-1-join-key", True),
        ("mc/x", True),
        ("edge/y", False),
    ]


@pytest.mark.parametrize("picture", [ONE, BOTH], ids=["one key", "both"])
@pytest.mark.parametrize("services", [[], ["artifactory", "access"]], ids=["any service", "two services"])
def test_the_digest_of_a_copy_follows_from_the_status(picture, services):
    join_key = with_targets("rt", services=services)

    for place in places(join_key):
        stored = copy_body(join_key, place, picture, KEYS)
        assert content_digest(stored, JOIN_KEY_COPY) == copy_digest(join_key, place, picture)


def test_copies_of_other_keys_roles_or_places_have_other_digests():
    join_key = with_targets("rt")
    swapped = Picture(Held(SECOND.fingerprint, 2), Held(FIRST.fingerprint, 1))

    digests = {copy_digest(join_key, place, picture) for place in places(join_key) for picture in (ONE, BOTH, swapped)}

    assert len(digests) == 6


def test_a_key_is_shown_by_its_fingerprint_only_in_the_spelling_of_the_controller():
    body = copy_body(with_targets(), places(with_targets())[0], ONE, KEYS)
    spelled = body["data"]["join-key"]
    upper = base64.b64encode(FIRST.to_hex().upper().encode()).decode()

    assert shown_value("join-key", spelled) == FIRST.fingerprint
    assert shown_value("join-key", upper) == upper
    assert key_of(upper) == FIRST
    assert shown_value("key-id", spelled) == spelled


@pytest.mark.parametrize("value", ["", "!", "Zm9yZ2Vk", "//8="])
def test_a_damaged_value_is_no_key(value):
    assert key_of(value) is None
    assert shown_value("join-key", value) == value
