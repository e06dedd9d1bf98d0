import json
import traceback
from datetime import datetime, timedelta, timezone

import pytest

from tallystick.crypto.keyring import (
    JWKS_MAX_AGE,
    PUBLISH_FOR,
    Keyring,
    KeyringEntry,
    KeyringError,
    RotationPendingError,
)
from tallystick.crypto.keys import verifying_keys
from tests.unit.crypto.builders import ISSUER, NOW, a_key, a_keyring, changed

FIRST, SECOND, THIRD = a_key("first"), a_key("second"), a_key("third")
DAY = timedelta(days=1)
SECOND_SIGNS = NOW + DAY + PUBLISH_FOR
THIRD_SIGNS = NOW + 2 * DAY + PUBLISH_FOR


def twice_rotated() -> Keyring:
    return a_keyring(FIRST).rotate(SECOND, NOW + DAY).rotate(THIRD, NOW + 2 * DAY)


def key_ids(keyring: Keyring) -> list[str]:
    return [entry.key.key_id for entry in keyring.entries]


def test_the_first_key_signs_at_once():
    assert a_keyring(FIRST).signing_key(NOW) == FIRST


def test_the_first_key_signs_for_a_replica_whose_clock_is_behind():
    assert a_keyring(FIRST).signing_key(NOW - timedelta(seconds=30)) == FIRST


def test_a_new_key_is_published_for_a_caches_life_and_a_minute_before_it_signs():
    rotated = a_keyring(FIRST).rotate(SECOND, NOW + DAY)

    assert JWKS_MAX_AGE + timedelta(seconds=60) == PUBLISH_FOR
    assert [jwk["kid"] for jwk in rotated.jwks()["keys"]] == [FIRST.key_id, SECOND.key_id]
    assert rotated.signing_key(SECOND_SIGNS - timedelta(microseconds=1)) == FIRST
    assert rotated.signing_key(SECOND_SIGNS) == SECOND


def test_a_rotation_changes_no_keyring_that_another_client_holds():
    before = a_keyring(FIRST)

    before.rotate(SECOND, NOW + DAY)

    assert key_ids(before) == [FIRST.key_id]


def test_a_second_rotation_waits_for_the_first_and_the_error_says_how_long():
    rotated = a_keyring(FIRST).rotate(SECOND, NOW + DAY)

    with pytest.raises(RotationPendingError, match="and signs from 2026-11-23T03:06:00Z; rotate again") as refusal:
        rotated.rotate(THIRD, SECOND_SIGNS - timedelta(seconds=1))

    assert refusal.value.signs_from_time == SECOND_SIGNS


def test_a_second_rotation_is_possible_from_the_second_that_was_reported():
    rotated = a_keyring(FIRST).rotate(SECOND, NOW + DAY)

    again = rotated.rotate(THIRD, SECOND_SIGNS)

    assert key_ids(again) == [FIRST.key_id, SECOND.key_id, THIRD.key_id]


def test_a_key_cannot_come_back():
    with pytest.raises(KeyringError, match="twice"):
        twice_rotated().rotate(FIRST, NOW + 3 * DAY)


def test_a_key_cannot_be_made_to_sign_before_it_is_published():
    with pytest.raises(KeyringError, match="before its creation time"):
        a_keyring().rotate(SECOND, NOW + DAY, publish_for=timedelta(seconds=-1))


@pytest.mark.parametrize(
    ("now", "in_use", "kept"),
    [
        pytest.param(THIRD_SIGNS + DAY, set(), [THIRD], id="superseded for the whole grace"),
        pytest.param(THIRD_SIGNS + DAY, {FIRST.key_id}, [FIRST, THIRD], id="the oldest in use"),
        pytest.param(THIRD_SIGNS + DAY, {SECOND.key_id, "another"}, [SECOND, THIRD], id="the middle one in use"),
        pytest.param(THIRD_SIGNS + DAY - timedelta(seconds=1), set(), [SECOND, THIRD], id="within the grace"),
        pytest.param(THIRD_SIGNS, set(), [SECOND, THIRD], id="just superseded"),
        pytest.param(NOW + 2 * DAY, set(), [FIRST, SECOND, THIRD], id="successor not yet signing"),
    ],
)
def test_a_key_retires_when_superseded_long_enough_and_named_by_nothing(now, in_use, kept):
    retired = twice_rotated().retire(in_use, now, grace=DAY)

    assert key_ids(retired) == [key.key_id for key in kept]


def test_the_signing_key_never_retires_even_without_grace():
    rotated = a_keyring(FIRST).rotate(SECOND, NOW + DAY)

    retired = rotated.retire(set(), SECOND_SIGNS - timedelta(seconds=1), grace=timedelta(0))

    assert key_ids(retired) == [FIRST.key_id, SECOND.key_id]


def test_a_negative_grace_is_refused():
    with pytest.raises(KeyringError, match="negative"):
        twice_rotated().retire(set(), NOW, grace=-DAY)


def test_a_key_is_found_by_its_id():
    keyring = twice_rotated()

    assert keyring.by_id(SECOND.key_id) == SECOND
    assert keyring.by_id("unknown") is None


def test_the_age_is_that_of_the_newest_key():
    assert twice_rotated().newest_age(NOW + 5 * DAY) == 3 * DAY


def test_the_jwks_holds_public_keys_only():
    jwks = twice_rotated().jwks()

    assert all(jwk.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"} for jwk in jwks["keys"])
    assert list(verifying_keys(jwks)) == key_ids(twice_rotated())


def test_a_keyring_comes_back_from_bytes():
    keyring = twice_rotated().rotate(a_key(alg="RS256"), THIRD_SIGNS + timedelta(microseconds=7))

    read = Keyring.from_bytes(keyring.to_bytes())

    assert read == keyring
    assert read.to_bytes() == keyring.to_bytes()
    assert read.entries[0].key.to_pem() == FIRST.to_pem()


def test_times_of_another_zone_are_written_in_utc():
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))

    assert Keyring.first(ISSUER, FIRST, elsewhere).to_bytes() == Keyring.first(ISSUER, FIRST, NOW).to_bytes()


STORED = json.loads(a_keyring(FIRST).to_bytes())
ENTRY = STORED["keys"][0]
OTHER = json.loads(a_keyring(SECOND).to_bytes())["keys"][0]


def with_entry(**changes):
    return changed(STORED, keys=[changed(ENTRY, **changes)])


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="binary"),
        pytest.param(a_keyring().to_bytes()[:-20], id="cut off"),
        pytest.param(b'{"version":1,' + a_keyring().to_bytes()[1:], id="duplicate name"),
        pytest.param(a_keyring().to_bytes() + b" " * 600_000, id="too large"),
        pytest.param([], id="no object"),
        pytest.param({}, id="empty object"),
        pytest.param(changed(STORED, version=2), id="later version"),
        pytest.param(changed(STORED, version=True), id="version is no number"),
        pytest.param(changed(STORED, extra=1), id="unknown member"),
        pytest.param(changed(STORED, issuer=7), id="issuer is a number"),
        pytest.param(changed(STORED, issuer=""), id="issuer is empty"),
        pytest.param(changed(STORED, issuer="https://a\n"), id="issuer with a newline"),
        pytest.param(changed(STORED, keys=[]), id="no keys"),
        pytest.param(changed(STORED, keys={}), id="keys are no list"),
        pytest.param(changed(STORED, keys=[ENTRY, ENTRY]), id="the same key twice"),
        pytest.param(changed(STORED, keys=[ENTRY] * 65), id="too many keys"),
        pytest.param(changed(STORED, keys=["a"]), id="a key is a string"),
        pytest.param(changed(STORED, keys=[changed(ENTRY, more="x")]), id="unknown member of a key"),
        pytest.param(with_entry(privateKey=7), id="private key is a number"),
        pytest.param(with_entry(privateKey=ENTRY["privateKey"][:-60]), id="private key cut off"),
        pytest.param(with_entry(privateKey="\ud800"), id="private key is no text"),
        pytest.param(with_entry(privateKey=OTHER["privateKey"]), id="private key of another id"),
        pytest.param(with_entry(createdTime="yesterday"), id="no time"),
        pytest.param(with_entry(createdTime="2026-11-22T03:00:00"), id="time without a zone"),
        pytest.param(with_entry(createdTime="2026-11-22T04:00:00+01:00"), id="time of another zone"),
        pytest.param(with_entry(createdTime="20261122T030000Z"), id="time in another form"),
        pytest.param(with_entry(createdTime="0001-01-01T00:00:00+14:00"), id="time before all times"),
        pytest.param(with_entry(createdTime="2027-11-22T03:00:00Z"), id="signs before its creation time"),
        pytest.param(
            changed(STORED, keys=[changed(ENTRY, signsFromTime="2027-11-22T03:00:00Z"), OTHER]), id="not in order"
        ),
    ],
)
def test_a_broken_keyring_is_refused_without_showing_a_key(stored):
    raw = stored if isinstance(stored, bytes) else json.dumps(stored).encode()

    with pytest.raises(KeyringError) as refusal:
        Keyring.from_bytes(raw)

    shown = "".join(traceback.format_exception_only(refusal.value)) + repr(refusal.value.__cause__)
    assert not any(line in shown for line in ENTRY["privateKey"].splitlines()[1:-1])
    assert not any(line in shown for line in OTHER["privateKey"].splitlines()[1:-1])


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(KeyringError, match="zone"):
        KeyringEntry(FIRST, datetime(2026, 1, 1), NOW)  # noqa: DTZ001 - the very mistake under test


def test_no_text_of_a_keyring_shows_what_is_private():
    keyring = a_keyring(FIRST)

    shown = f"{keyring!r} {keyring!s} {keyring.jwks()}"

    assert FIRST.key_id in shown
    assert not any(line in shown for line in FIRST.to_pem().decode().splitlines())
    assert str(FIRST.private_key.private_numbers().private_value) not in shown
