import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tallystick.crypto.encoding import from_base64url
from tallystick.crypto.keys import verifying_keys
from tallystick.crypto.tokens import (
    ExpiredTokenError,
    InvalidTokenError,
    ObjectReference,
    Reason,
    UnsignableClaimsError,
    sign,
    unverified_typ,
)
from tallystick.pairing.domain.tokens import MASTER, PAIRING
from tests.unit.crypto.builders import (
    ABSENT,
    ISSUER,
    NOW,
    NOW_SECONDS,
    PROFILES,
    TOKEN_URL,
    a_key,
    a_keyring,
    changed,
    forge,
    master_claims,
    pairing_claims,
    pairing_header,
    refusal_of,
    signed,
    verified,
    verified_master,
)

KEY, OTHER_KEY = a_key("first"), a_key("second")


def test_a_pairing_token_says_what_was_signed():
    claims = verified(signed())

    assert claims.token_id == "4be13896-2fef-518d-b07c-951cbd05ba71"
    assert claims.key_id == KEY.key_id
    assert claims.typ == "pairing+jwt"
    assert claims.issuer == ISSUER
    assert claims.subject == "system:serviceaccount:edge:default"
    assert claims.audience == (ISSUER,)
    assert claims.scope == ("service-trust/pairing/mission-control",)
    assert claims.issued_time == NOW
    assert claims.expiration_time == NOW + timedelta(seconds=300)
    assert claims.key_thumbprint is None
    assert claims.reference == ObjectReference(
        kind="PairingToken", namespace="edge", name="press-1", uid="0b9f7a52-98a0-4f0e-8f5b-3c9d1d6a7a10", serial=1
    )
    assert claims.claims == pairing_claims()


def test_a_master_token_says_what_was_signed():
    audiences = ["https://a.example", "https://b.example"]
    token = sign(master_claims(aud=audiences, cnf={"jkt": KEY.key_id}), profile=MASTER, key=KEY)

    claims = verified_master(token, audience="https://b.example")

    assert claims.audience == tuple(audiences)
    assert claims.scope == ("mission-control:admin", "mission-control:read")
    assert claims.key_thumbprint == KEY.key_id
    assert claims.reference.kind == "MasterToken"


def test_a_master_token_that_no_pairing_made_has_no_serial():
    thing = changed(master_claims()["tallystick"], serial=ABSENT)

    claims = verified_master(sign(master_claims(tallystick=thing), profile=MASTER, key=KEY))

    assert claims.reference.serial is None


def test_verified_claims_cannot_be_changed():
    claims = verified(signed())

    with pytest.raises(TypeError):
        claims.claims["sub"] = "admin"


def test_a_pairing_token_may_carry_a_pairing_url():
    ext = {"base_url": ISSUER, "exchange_url": TOKEN_URL, "revocable": True, "pairing_url": f"{ISSUER}/pair"}

    assert verified(signed(ext=ext)).claims["ext"]["pairing_url"] == f"{ISSUER}/pair"


def test_a_subject_outside_of_ascii_is_kept():
    assert verified(signed(sub="oidc:zoë@例え.example")).subject == "oidc:zoë@例え.example"


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_the_same_claims_and_key_always_give_the_same_token(alg):
    key = a_key(alg=alg)
    shuffled = dict(reversed(pairing_claims().items()))

    tokens = {sign(claims, profile=PAIRING, key=key) for claims in (pairing_claims(), pairing_claims(), shuffled)}

    assert len(tokens) == 1


def test_other_claims_give_another_signature_nonce():
    # A nonce that repeats over two messages gives the private key away (RFC 6979 1).
    first, second = (from_base64url(signed(jti=jti).split(".")[2])[:32] for jti in ("a", "b"))

    assert first != second


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_the_header_has_alg_kid_and_typ_and_nothing_else(alg):
    key = a_key(alg=alg)
    token = sign(pairing_claims(), profile=PAIRING, key=key)

    header = json.loads(from_base64url(token.split(".")[0]))

    assert header == {"alg": alg, "kid": key.key_id, "typ": "pairing+jwt"}


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_a_token_verifies_with_plain_pyjwt_and_our_jwks(alg):
    key = a_key(alg=alg)
    token = sign(pairing_claims(exp=4_000_000_000, iat=3_999_999_900), profile=PAIRING, key=key)

    public = jwt.PyJWKSet.from_dict(a_keyring(key).jwks())[key.key_id]
    claims = jwt.decode(token, public, algorithms=[alg], audience=ISSUER, issuer=ISSUER, options={"verify_iat": False})

    assert claims["jti"] == pairing_claims()["jti"]


def test_a_token_verifies_with_cryptography_alone():
    signing_input, _, signature = signed().rpartition(".")
    raw = from_base64url(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))

    KEY.private_key.public_key().verify(der, signing_input.encode(), ec.ECDSA(hashes.SHA256()))


def test_a_token_of_the_rsa_key_verifies():
    key = a_key(alg="RS256")

    token = sign(pairing_claims(), profile=PAIRING, key=key)

    assert verified(token, keys=a_keyring(key)).key_id == key.key_id


def test_a_token_verifies_with_nothing_but_the_jwks():
    assert verified(signed(), keys=verifying_keys(a_keyring().jwks())).key_id == KEY.key_id


def test_a_token_of_a_superseded_key_verifies_until_the_key_retires():
    token = signed(exp=NOW_SECONDS + 86_400)
    rotated = a_keyring().rotate(OTHER_KEY, NOW)
    later = NOW + timedelta(hours=1)

    retired = rotated.retire(set(), later, grace=timedelta(0))

    assert verified(token, keys=rotated, now=later).key_id == KEY.key_id
    assert refusal_of(token, keys=retired, now=later) is Reason.KEY


def test_the_forger_of_these_tests_makes_valid_tokens():
    assert verified(forge(pairing_header(), pairing_claims())).claims == pairing_claims()


@pytest.mark.parametrize(
    ("claims", "profile"),
    [
        pytest.param(pairing_claims(), MASTER, id="claims of another typ"),
        pytest.param(pairing_claims(jti=ABSENT), PAIRING, id="missing claim"),
        pytest.param(pairing_claims(nbf=NOW_SECONDS), PAIRING, id="unknown claim"),
        pytest.param(pairing_claims(sub="a\nb"), PAIRING, id="control character"),
        pytest.param(pairing_claims(exp=float(NOW_SECONDS + 300)), PAIRING, id="fraction"),
        pytest.param(pairing_claims(sub="\U0001f600" * 1024, iss="u" * 2048, aud="u" * 2048), PAIRING, id="long"),
    ],
)
def test_claims_that_would_be_refused_are_not_signed(claims, profile):
    with pytest.raises(UnsignableClaimsError):
        sign(claims, profile=profile, key=KEY)


def test_a_refusal_to_sign_names_the_claim_and_not_its_value():
    with pytest.raises(UnsignableClaimsError, match=r"^claim sub does not fit a token of typ pairing\+jwt$"):
        signed(sub="forged\0value")


@pytest.mark.parametrize("leeway", [0, 30])
def test_a_token_is_valid_until_the_second_before_its_expiry(leeway):
    last = NOW + timedelta(seconds=299 + leeway, microseconds=999_999)

    assert verified(signed(), now=last, leeway=leeway).token_id == pairing_claims()["jti"]


@pytest.mark.parametrize("leeway", [0, 30])
def test_a_token_is_expired_in_the_very_second_of_its_expiry(leeway):
    with pytest.raises(ExpiredTokenError, match="the token has expired") as refusal:
        verified(signed(), now=NOW + timedelta(seconds=300 + leeway), leeway=leeway)

    assert refusal.value.reason is Reason.EXPIRED
    assert refusal.value.claims.token_id == pairing_claims()["jti"]
    assert refusal.value.claims.expiration_time == NOW + timedelta(seconds=300)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(forge(pairing_header(), pairing_claims(), OTHER_KEY), id="another key"),
        pytest.param(forge(pairing_header(), pairing_claims(admin=True)), id="unknown claim"),
        pytest.param(forge(pairing_header(), pairing_claims(aud="https://evil.example")), id="another audience"),
        pytest.param(forge(pairing_header(), pairing_claims(iss="https://evil.example")), id="another issuer"),
    ],
)
def test_only_a_token_that_was_valid_is_called_expired(token):
    assert refusal_of(token, now=NOW + timedelta(days=1)) is not Reason.EXPIRED


@pytest.mark.parametrize(("leeway", "ahead"), [(0, 60), (30, 90)])
def test_a_token_may_be_issued_as_far_ahead_as_clocks_differ(leeway, ahead):
    token = signed(iat=NOW_SECONDS + ahead)
    too_early = signed(iat=NOW_SECONDS + ahead + 1)

    assert verified(token, leeway=leeway).issued_time == NOW + timedelta(seconds=ahead)
    assert refusal_of(too_early, leeway=leeway) is Reason.ISSUED_AHEAD


@pytest.mark.parametrize("year", [1999, 2999])
def test_the_time_is_what_the_caller_says_and_never_the_wall_clock(year):
    issued = datetime(year, 1, 1, tzinfo=UTC)
    seconds = int(issued.timestamp())

    token = signed(iat=seconds, exp=seconds + 300)

    assert verified(token, now=issued + timedelta(seconds=299)).issued_time == issued


def test_a_time_without_a_zone_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="zone"):
        verified(signed(), now=NOW.replace(tzinfo=None))


def test_the_typ_of_a_token_is_read_before_it_is_verified():
    assert unverified_typ(signed(), PROFILES) == "pairing+jwt"
    assert unverified_typ(sign(master_claims(), profile=MASTER, key=KEY), PROFILES) == "at+jwt"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("a.b.c", id="garbage"),
        pytest.param(None, id="nothing"),
        pytest.param(forge({"typ": "JWT"}, {}), id="unknown"),
        pytest.param(forge({"typ": ["at+jwt"]}, {}), id="list"),
        pytest.param(forge({}, {}), id="none"),
    ],
)
def test_what_has_no_typ_of_ours_has_none(text):
    assert unverified_typ(text, PROFILES) is None


def test_no_error_shows_the_token_or_its_claims():
    token = forge(pairing_header(), pairing_claims(admin=True))

    with pytest.raises(InvalidTokenError) as refusal:
        verified(token)

    assert repr(refusal.value) == "InvalidTokenError('the token is not valid')"
    assert refusal.value.__cause__ is None
