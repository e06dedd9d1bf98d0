"""The claims of our tokens, member by member: S1, S11, S14, S24, R86-R89."""

from datetime import timedelta

from tallystick.crypto.profiles import MASTER, PAIRING
from tallystick.pairing.domain.claims import PairingTokenClaims, master_claims, pairing_claims
from tallystick.tokens.claims import digest
from tests.builders import ISSUER, MASTER_TOKEN_ID, MASTER_UID, REQUESTER, THUMBPRINT, UID, a_master_token
from tests.fakes import NOON

NOON_SECONDS = 1_893_499_200


def a_grant(**changes):
    values = {
        "token_id": "4be13896-2fef-518d-b07c-951cbd05ba71",
        "namespace": "edge",
        "name": "press-1",
        "uid": UID,
        "serial": 3,
        "subject": REQUESTER,
        "use_case": "mission-control",
        "base_url": ISSUER,
        "exchange_url": f"{ISSUER}/oauth2/token",
        "pairing_url": None,
        "issued": NOON,
        "expires": NOON + timedelta(seconds=300),
        "key_id": "k1",
    }
    return PairingTokenClaims(**{**values, **changes})


def test_a_pairing_token_says_exactly_this():
    claims = pairing_claims(a_grant(), ISSUER)

    assert claims == {
        "iss": "https://trust.example.com",
        "sub": "alice@example.com",
        "aud": "https://trust.example.com",
        "scope": "service-trust/pairing/mission-control",
        "iat": NOON_SECONDS,
        "exp": NOON_SECONDS + 300,
        "jti": "4be13896-2fef-518d-b07c-951cbd05ba71",
        "ext": {
            "base_url": "https://trust.example.com",
            "exchange_url": "https://trust.example.com/oauth2/token",
            "revocable": True,
        },
        "tallystick": {"kind": "PairingToken", "ns": "edge", "name": "press-1", "uid": UID, "serial": 3},
    }
    assert PAIRING.first_wrong(claims) is None


def test_r89_a_pairing_url_is_said_only_where_there_is_one():
    claims = pairing_claims(a_grant(pairing_url="https://mc.example.net/pair"), ISSUER)

    assert claims["ext"]["pairing_url"] == "https://mc.example.net/pair"
    assert PAIRING.first_wrong(claims) is None


def test_a_master_token_says_exactly_this():
    claims = master_claims(a_master_token(clientID="https://mc.example.net"), ISSUER)

    assert claims == {
        "iss": "https://trust.example.com",
        "sub": "alice@example.com",
        "aud": "https://trust.example.com",
        "scope": "mission-control:admin",
        "iat": NOON_SECONDS,
        "exp": NOON_SECONDS + 31_536_000,
        "jti": MASTER_TOKEN_ID,
        "tallystick": {
            "kind": "MasterToken",
            "ns": "edge",
            "name": f"mtok-{MASTER_TOKEN_ID}",
            "uid": MASTER_UID,
            "serial": 1,
        },
        "cnf": {"jkt": THUMBPRINT},
    }
    assert MASTER.first_wrong(claims) is None


def test_s11_what_the_client_called_itself_stands_nowhere_in_the_token():
    claims = master_claims(a_master_token(clientID="https://mc.example.net"), ISSUER)

    assert "mc.example.net" not in str(claims)


def test_s14_a_token_is_bound_to_a_key_only_where_one_was_proved():
    assert "cnf" not in master_claims(a_master_token(keyThumbprint=None), ISSUER)


def test_a_master_token_may_have_many_audiences_and_scopes():
    claims = master_claims(a_master_token(audience=["https://a", "https://b"], scope=["x:r", "x:w"]), ISSUER)

    assert (claims["aud"], claims["scope"]) == (["https://a", "https://b"], "x:r x:w")
    assert MASTER.first_wrong(claims) is None


def test_the_bootstrap_token_came_from_no_pairing_and_has_no_serial():
    claims = master_claims(a_master_token(pairingTokenRef=None, serial=None, redemptionID=None), ISSUER)

    assert "serial" not in claims["tallystick"]
    assert MASTER.first_wrong(claims) is None


def test_s3_the_digest_is_that_of_the_claims_and_not_of_their_order():
    claims = pairing_claims(a_grant(), ISSUER)
    reordered = dict(reversed(claims.items()))

    assert digest(claims) == digest(reordered)
    assert digest(claims) != digest(pairing_claims(a_grant(subject="mallory"), ISSUER))
