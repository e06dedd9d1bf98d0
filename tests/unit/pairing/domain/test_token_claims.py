"""What a pairing token will say: R82, R85-R90, S12 (URLs), S4 (requester), S24 (uid)."""

from datetime import timedelta

import pytest

from tallystick.pairing.domain.requester import RequesterMode
from tallystick.pairing.domain.token_claims import Unissuable, adopted, grant, granted, why_unissuable
from tallystick.pairing.domain.tokens import (
    PairingTokenClaims,
    master_token_name,
    pairing_secret_name,
    pairing_token_id,
)
from tests.builders import ISSUER, OTHER_UID, REQUESTER, UID, a_pairing_token, a_policy, issued_status
from tests.fakes import NOON

SECOND_URL = "https://pairing.example.net"
TWO_URLS = a_policy(external_urls=(ISSUER, SECOND_URL))


def granted_now(policy=None, **changes):
    return grant(a_pairing_token(**changes), policy or a_policy(), now=NOON, key_id="k1")


def test_a_grant_says_all_that_the_token_will_say():
    assert granted_now(pairingURL="https://mc.example.net/pair") == PairingTokenClaims(
        token_id=pairing_token_id(UID, 1),
        namespace="edge",
        name="press-1",
        uid=UID,
        serial=1,
        subject=REQUESTER,
        use_case="mission-control",
        base_url=ISSUER,
        exchange_url=f"{ISSUER}/oauth2/token",
        pairing_url="https://mc.example.net/pair",
        issued=NOON,
        expires=NOON + timedelta(seconds=300),
        key_id="k1",
    )


def test_r85_the_default_life_is_300_seconds():
    assert granted_now().expires_in == 300


def test_the_life_is_what_the_spec_asks_for():
    assert granted_now(ttl="1h30m").expires_in == 5400


def test_times_are_cut_to_the_second():
    ragged = NOON + timedelta(microseconds=999_999)

    result = grant(a_pairing_token(), a_policy(), now=ragged, key_id="k1")

    assert (result.issued, result.expires) == (NOON, NOON + timedelta(seconds=300))


@pytest.mark.parametrize(
    ("urls", "base_url", "exchange_url"),
    [
        pytest.param({}, ISSUER, f"{ISSUER}/oauth2/token", id="neither"),
        pytest.param({"baseURL": SECOND_URL}, SECOND_URL, f"{SECOND_URL}/oauth2/token", id="the base"),
        pytest.param(
            {"exchangeURL": f"{SECOND_URL}/oauth2/token"}, SECOND_URL, f"{SECOND_URL}/oauth2/token", id="the exchange"
        ),
        pytest.param(
            {"baseURL": SECOND_URL, "exchangeURL": f"{SECOND_URL}/oauth2/token"},
            SECOND_URL,
            f"{SECOND_URL}/oauth2/token",
            id="both",
        ),
    ],
)
def test_s12_both_urls_are_always_granted_if_the_spec_gives(urls, base_url, exchange_url):
    result = granted_now(TWO_URLS, **urls)

    assert (result.base_url, result.exchange_url) == (base_url, exchange_url)


@pytest.mark.parametrize(
    ("changes", "policy", "reason", "message"),
    [
        pytest.param(
            {"useCase": "mission-contrl"},
            a_policy(),
            "UnknownUseCase",
            'use case "mission-contrl" is unknown to this service; '
            "known: artifactory-cold, federated-repo, mission-control; "
            "set one of them in the edit that raises spec.serial to 2",
            id="R82 an unknown use case",
        ),
        pytest.param(
            {"baseURL": "https://evil.example.org"},
            TWO_URLS,
            "ForeignURL",
            "baseURL https://evil.example.org is not a URL of this service; known: https://trust.example.com, "
            "https://pairing.example.net; correct or remove it in the edit that raises spec.serial to 2",
            id="S12 a foreign base URL",
        ),
        pytest.param(
            {"baseURL": f"{ISSUER}.evil.org"},
            a_policy(),
            "ForeignURL",
            f"baseURL {ISSUER}.evil.org is not a URL of this service; known: {ISSUER}; "
            "correct or remove it in the edit that raises spec.serial to 2",
            id="S12 a base URL that only begins like ours",
        ),
        pytest.param(
            {"exchangeURL": f"{ISSUER}/collect"},
            a_policy(),
            "ForeignURL",
            f"exchangeURL {ISSUER}/collect is not a URL of this service; known: {ISSUER}/oauth2/token; "
            "correct or remove it in the edit that raises spec.serial to 2",
            id="S12 an exchange URL that is not the exchange",
        ),
        pytest.param(
            {"requestedBy": None, "serial": 4},
            a_policy(),
            "RequesterMissing",
            "spec.requestedBy is empty because the admission policy was not in force at creation; "
            "raise spec.serial to 5 to issue a token",
            id="S4 nobody on record",
        ),
        pytest.param(
            {"requestedBy": ""},
            a_policy(),
            "RequesterMissing",
            "spec.requestedBy is empty because the admission policy was not in force at creation; "
            "raise spec.serial to 2 to issue a token",
            id="S4 an empty name is nobody",
        ),
    ],
)
def test_no_token_is_granted_for(changes, policy, reason, message):
    assert granted_now(policy, **changes) == Unissuable(reason, message)


def test_the_first_reason_is_the_one_that_is_reported():
    token = a_pairing_token(useCase="nothing", baseURL="https://evil.example.org", requestedBy=None)

    assert why_unissuable(token, a_policy()).reason == "UnknownUseCase"


@pytest.mark.parametrize(
    ("account", "subject"),
    [
        pytest.param(None, "system:serviceaccount:edge:default", id="the default one"),
        pytest.param("presser", "system:serviceaccount:edge:presser", id="the one of the spec"),
    ],
)
def test_s4_in_service_account_mode_requested_by_is_ignored(account, subject):
    policy = a_policy(requester=RequesterMode.SERVICE_ACCOUNT)

    assert granted_now(policy, requestedBy="system:admin", serviceAccountName=account).subject == subject


def test_s4_in_policy_mode_the_service_account_is_ignored():
    assert granted_now(serviceAccountName="presser").subject == REQUESTER


def test_s24_a_re_created_object_has_another_token_id():
    assert granted_now(uid=OTHER_UID).token_id != granted_now().token_id


def test_each_serial_has_a_token_id_of_its_own_and_always_the_same():
    ids = [granted_now(serial=serial).token_id for serial in (1, 2, 12, 1)]

    assert ids[0] == ids[3]
    assert len(set(ids)) == 3


def test_what_was_granted_is_recomputed_from_the_status():
    token = a_pairing_token(status=issued_status(life=60))

    assert granted(token, a_policy()) == grant(
        a_pairing_token(ttl="1m"), a_policy(), now=NOON, key_id=token.status.key_id
    )


@pytest.mark.parametrize("lost", ["issuedTime", "expirationTime", "kid"])
def test_nothing_is_recomputed_from_an_incomplete_record(lost):
    token = a_pairing_token(status=issued_status(**{lost: None}))

    assert granted(token, a_policy()) is None


def test_nothing_is_recomputed_or_adopted_where_the_settings_no_longer_allow_it():
    token = a_pairing_token(status=issued_status())
    without = a_policy(table={"useCases": {"other": {"scope": ["x"]}}})

    assert granted(token, without) is None
    assert adopted(token, without, issued=1, expires=2, key_id="k1") is None


def test_a_token_is_adopted_with_its_own_times_and_key():
    result = adopted(a_pairing_token(), a_policy(), issued=1_893_499_200, expires=1_893_499_260, key_id="k9")

    assert (result.issued, result.expires_in, result.key_id) == (NOON, 60, "k9")


def test_s23_a_master_token_has_a_name_that_fits_into_a_label():
    assert len(master_token_name(pairing_token_id(UID, 1))) == 41


def test_the_secret_is_named_after_the_object_or_as_the_spec_says():
    assert pairing_secret_name(a_pairing_token()) == "press-1-pairing-token"
    assert pairing_secret_name(a_pairing_token(secretName="mine")) == "mine"
