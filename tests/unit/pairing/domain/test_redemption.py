"""What may happen to a presented pairing token: design.md steps 2 to 5, S1, S2, S7, S14, S24, S29, R84, R85."""

from datetime import timedelta

import pytest

from tallystick.pairing.domain.grants import Grant
from tallystick.pairing.domain.redemption import (
    Presented,
    Redeem,
    Refuse,
    Resume,
    Wait,
    consumed_status,
    decide,
    master_token_spec,
    same_master_token,
)
from tallystick.pairing.domain.tokens import pairing_token_id
from tallystick.pairing.domain.use_cases import use_cases
from tests.builders import (
    CLAIM_ID,
    ISSUER,
    MASTER_TOKEN_ID,
    OTHER_THUMBPRINT,
    OTHER_UID,
    REQUESTER,
    THUMBPRINT,
    UID,
    a_master_token,
    a_pairing_token,
    a_redemption,
    issued_status,
    raw_master_token,
    used_status,
)
from tests.fakes import NOON

EXPIRES = int(NOON.timestamp()) + 300
TOKEN_ID = pairing_token_id(UID, 1)

USED = Refuse(f"pairing token {TOKEN_ID} has already been used", replay=True)
REVOKED = Refuse(f"pairing token {TOKEN_ID} has been revoked")
EXPIRED = Refuse(f"pairing token {TOKEN_ID} expired at 2030-01-01T12:05:00Z")
UNKNOWN = Refuse("subject_token is not a valid pairing token")

SAME_KEY, OTHER_KEY, NO_KEY = THUMBPRINT, OTHER_THUMBPRINT, None
KEYS = [
    pytest.param(SAME_KEY, id="same key"),
    pytest.param(OTHER_KEY, id="other key"),
    pytest.param(NO_KEY, id="no key"),
]


def presented(key=SAME_KEY, *, uid=UID, serial=1, token_id=None):
    return Presented(token_id or pairing_token_id(uid, serial), uid, serial, EXPIRES, key)


def decided(token, key=SAME_KEY, *, seconds=0, own_redemption=None, **claims):
    return decide(token, presented(key, **claims), now=NOON + timedelta(seconds=seconds), own_redemption=own_redemption)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param(a_pairing_token(status=issued_status()), Redeem(), id="Active"),
        pytest.param(a_pairing_token(), Wait(), id="no status yet"),
        pytest.param(a_pairing_token(status={"state": "Pending"}), Wait(), id="Pending"),
        pytest.param(a_pairing_token(status=issued_status(state="Pending")), Wait(), id="Pending with a serial"),
        pytest.param(a_pairing_token(status=issued_status(state="Expired")), EXPIRED, id="Expired"),
        pytest.param(a_pairing_token(status=issued_status(state="Revoked")), REVOKED, id="Revoked"),
        pytest.param(
            a_pairing_token(status=used_status(state="Revoked", revokedThrough=1)), REVOKED, id="Revoked after Used"
        ),
        pytest.param(a_pairing_token(status=used_status(), revoked=True), REVOKED, id="S7 Used, and revoked in spec"),
        pytest.param(
            a_pairing_token(status=issued_status(), revoked=True), REVOKED, id="S7 Active, and revoked in spec"
        ),
        pytest.param(a_pairing_token(status=issued_status(), deleting=True), REVOKED, id="S7 Active, and going"),
        pytest.param(a_pairing_token(status=used_status(), deleting=True), REVOKED, id="S7 Used, and going"),
        pytest.param(a_pairing_token(status=issued_status(), serial=2), REVOKED, id="S2 a higher serial asked for"),
        pytest.param(
            a_pairing_token(status=issued_status(uid=OTHER_UID), uid=OTHER_UID), UNKNOWN, id="S24 a re-created object"
        ),
    ],
)
def test_whatever_the_key_a_token_of_serial_1_meets(token, key, expected):
    assert decided(token, key) == expected


@pytest.mark.parametrize(
    ("redeemed_with", "asked_with", "own_redemption", "expected"),
    [
        pytest.param(SAME_KEY, SAME_KEY, None, "resume", id="the same key asks again"),
        pytest.param(SAME_KEY, OTHER_KEY, None, "refuse", id="S14 another key is a replay"),
        pytest.param(SAME_KEY, NO_KEY, None, "refuse", id="S14 without the key it is a replay"),
        pytest.param(NO_KEY, NO_KEY, None, "refuse", id="R84 without keys at most once"),
        pytest.param(NO_KEY, SAME_KEY, None, "refuse", id="a key that came later proves nothing"),
        pytest.param(NO_KEY, NO_KEY, CLAIM_ID, "resume", id="our own swap, whose answer was lost"),
        pytest.param(SAME_KEY, SAME_KEY, CLAIM_ID, "resume", id="our own swap, with a key"),
        pytest.param(NO_KEY, NO_KEY, "another-redemption", "refuse", id="another replica's swap"),
        pytest.param(SAME_KEY, SAME_KEY, "another-redemption", "resume", id="another replica's swap for the same key"),
    ],
)
def test_a_used_token_meets(redeemed_with, asked_with, own_redemption, expected):
    token = a_pairing_token(status=used_status(redemption=a_redemption(clientKeyThumbprint=redeemed_with)))

    decision = decided(token, asked_with, own_redemption=own_redemption)

    assert decision == (Resume(token.status.redemption) if expected == "resume" else USED)


def test_a_used_token_without_a_redemption_is_refused():
    assert decided(a_pairing_token(status=issued_status(state="Used"))) == USED


@pytest.mark.parametrize("status", [issued_status(), used_status(), {"state": "Pending"}])
@pytest.mark.parametrize(("seconds", "over"), [(299, False), (300, True), (301, True)])
def test_r85_at_exp_a_token_is_over_for_all(status, seconds, over):
    decision = decided(a_pairing_token(status=status), seconds=seconds)

    assert (decision == EXPIRED) is over


def test_a_fraction_of_a_second_before_exp_is_before_exp():
    assert decided(a_pairing_token(status=issued_status()), seconds=299.999) == Redeem()


def test_a_raised_serial_that_is_not_recorded_yet_has_to_wait():
    token = a_pairing_token(status=used_status(), serial=2)

    assert decided(token, serial=2) == Wait()


def test_s2_a_jti_that_is_not_derived_from_uid_and_serial_is_unknown():
    assert decided(a_pairing_token(status=issued_status(tokenID="forged")), token_id="forged") == UNKNOWN


def test_the_swap_writes_state_redemption_and_conditions_at_once():
    token = a_pairing_token(status=issued_status(), generation=3)
    redemption = a_pairing_token(status=used_status()).status.redemption

    status = consumed_status(token, redemption)

    (ready,) = status.conditions
    assert (status.state, status.redemption, status.used_time) == ("Used", redemption, NOON)
    assert (ready.status, ready.reason, status.observed_generation) == ("True", "Paired", 3)
    assert (status.serial, status.token_id) == (1, TOKEN_ID)


def computed(*, spec=None, row=None, **changes):
    token = a_pairing_token(status=used_status(redemption=a_redemption(**changes)), **(spec or {}))
    table = use_cases({"useCases": {"mission-control": {"scope": ["mission-control:admin"], **(row or {})}}})
    grant = Grant(token, table.get("mission-control"), ISSUER, (ISSUER,))
    return master_token_spec(grant, token.status.redemption, serial=1, subject=REQUESTER)


def test_s1_a_master_token_is_computed_from_the_redemption_the_table_and_the_verified_token():
    assert computed().to_json() == raw_master_token()["spec"]


@pytest.mark.parametrize(
    ("spec", "row", "seconds"),
    [
        pytest.param({}, {}, 31_536_000, id="R91 a year"),
        pytest.param({}, {"masterTokenTTL": "720h"}, 2_592_000, id="as the use case says"),
        pytest.param({"masterToken": {"ttl": "1h"}}, {"masterTokenTTL": "720h"}, 3600, id="as the object says"),
    ],
)
def test_the_master_token_lives(spec, row, seconds):
    result = computed(spec=spec, row=row)

    assert (result.expiration_time - result.issued_time).total_seconds() == seconds


def test_the_audience_is_that_of_the_use_case_else_the_base_url():
    assert computed().audience == [ISSUER]
    assert computed(row={"audience": ["https://mc.example.net"]}).audience == ["https://mc.example.net"]


def test_s8_the_deletion_policy_is_copied_at_the_redemption():
    assert computed(spec={"masterToken": {"deletionPolicy": "Retain"}}).deletion_policy == "Retain"


def test_s1_an_object_that_was_read_back_is_the_same_also_when_revoked():
    assert same_master_token(a_master_token(), computed())
    assert same_master_token(a_master_token(revoked=True), computed())


@pytest.mark.parametrize(
    "forged",
    [
        {"scope": ["mission-control:admin", "cluster:root"]},
        {"subject": "system:admin"},
        {"audience": ["https://elsewhere.example"]},
        {"keyThumbprint": OTHER_THUMBPRINT},
        {"keyThumbprint": None},
        {"clientID": "https://mc.example.net"},
        {"tokenID": CLAIM_ID},
        {"redemptionID": MASTER_TOKEN_ID},
        {"kid": "another"},
        {"useCase": "federated-repo"},
        {"serial": 2},
        {"deletionPolicy": "Retain"},
        {"pairingTokenRef": {"name": "press-2", "uid": UID}},
        {"pairingTokenRef": {"name": "press-1", "uid": OTHER_UID}},
        {"expirationTime": "2040-01-01T12:00:00Z"},
        {"issuedTime": "2029-01-01T12:00:00Z"},
    ],
    ids=lambda forged: next(iter(forged)),
)
def test_s1_an_object_that_differs_is_not_ours(forged):
    assert not same_master_token(a_master_token(**forged), computed())
