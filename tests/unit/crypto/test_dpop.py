import hashlib
import hmac
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tallystick.crypto.dpop import InvalidProofError, make_proof, verify_proof
from tallystick.crypto.encoding import from_base64url
from tallystick.crypto.keys import InvalidKeyError, SigningKey
from tests.unit.crypto.builders import ABSENT, ISSUER, NOW, NOW_SECONDS, TOKEN_URL, a_key, as_bytes, b64, changed, forge

KEY, OTHER_KEY, RSA_KEY = a_key("client"), a_key("thief"), a_key("client", "RS256")
WEAK_RSA = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the very weakness under test


def a_jwk(key: SigningKey = KEY, **changes):
    public = key.public_jwk()
    return changed({name: public[name] for name in public.keys() - {"kid", "use", "alg"}}, **changes)


def a_header(**changes):
    return changed({"typ": "dpop+jwt", "alg": "ES256", "jwk": a_jwk()}, **changes)


def a_payload(**changes):
    return changed({"jti": "e1j3V_bKic8-LAEB", "htm": "POST", "htu": TOKEN_URL, "iat": NOW_SECONDS}, **changes)


def a_proof(key: SigningKey = KEY, **changes):
    return make_proof(key, **{"method": "POST", "url": TOKEN_URL, "now": NOW, "proof_id": "p-1", **changes})


def proven(unverified_proof, **changes):
    return verify_proof(unverified_proof, **{"method": "POST", "urls": [TOKEN_URL], "now": NOW, **changes})


def refusal_of(unverified_proof, **changes):
    """The reason for which a proof is refused; the message must never tell it."""
    with pytest.raises(InvalidProofError) as refusal:
        proven(unverified_proof, **changes)
    assert str(refusal.value) == "the DPoP proof is not valid"
    return refusal.value.reason


def test_a_proof_names_the_key_that_made_it():
    assert proven(a_proof()) == KEY.key_id


def test_another_key_proves_only_itself():
    assert proven(a_proof(OTHER_KEY)) == OTHER_KEY.key_id != KEY.key_id


def test_a_proof_holds_the_public_key_and_nothing_private():
    header = json.loads(from_base64url(a_proof().split(".")[0]))

    assert header == {"typ": "dpop+jwt", "alg": "ES256", "jwk": a_jwk()}
    assert header["jwk"].keys() == {"kty", "crv", "x", "y"}


def test_a_proof_leaves_query_and_fragment_out():
    claims = json.loads(from_base64url(a_proof(url=f"{TOKEN_URL}?a=b#c").split(".")[1]))

    assert claims == {"htm": "POST", "htu": TOKEN_URL, "iat": NOW_SECONDS, "jti": "p-1"}


def test_a_proof_cannot_be_made_with_an_rsa_key():
    with pytest.raises(InvalidKeyError, match="ES256"):
        a_proof(RSA_KEY)


def test_a_proof_of_another_library_is_accepted():
    jwk = a_jwk(kid="mine", use="sig", alg="ES256")

    assert proven(forge(a_header(jwk=jwk), a_payload(), KEY)) == KEY.key_id


@pytest.mark.parametrize(
    "htu",
    [
        pytest.param(f"{TOKEN_URL}?a=b#c", id="query and fragment"),
        pytest.param("HTTPS://Trust.Example.COM/oauth2/token", id="case of scheme and host"),
        pytest.param("https://trust.example.com:443/oauth2/token", id="default port"),
    ],
)
def test_another_spelling_of_the_same_address_is_accepted(htu):
    assert proven(forge(a_header(), a_payload(htu=htu), KEY)) == KEY.key_id


def test_any_of_the_settings_addresses_is_accepted():
    proof = a_proof(url="https://127.0.0.1:8443/oauth2/token")

    assert proven(proof, urls=[TOKEN_URL, "https://127.0.0.1:8443/oauth2/token"]) == KEY.key_id


@pytest.mark.parametrize(
    "htu",
    [
        pytest.param("https://evil.example/oauth2/token", id="another host"),
        pytest.param("https://trust.example.com.evil.example/oauth2/token", id="a longer host"),
        pytest.param("http://trust.example.com/oauth2/token", id="another scheme"),
        pytest.param("https://trust.example.com:8443/oauth2/token", id="another port"),
        pytest.param("https://trust.example.com:0/oauth2/token", id="port zero"),
        pytest.param(f"{ISSUER}/oauth2/revoke", id="another path"),
        pytest.param(f"{ISSUER}/oauth2/token/", id="trailing slash"),
        pytest.param(f"{ISSUER}/OAuth2/token", id="case of the path"),
        pytest.param(f"{ISSUER}/x/../oauth2/token", id="dots in the path"),
        pytest.param(ISSUER, id="no path"),
    ],
)
def test_a_proof_for_another_address_is_refused(htu):
    assert refusal_of(forge(a_header(), a_payload(htu=htu), KEY)) == "Request"


@pytest.mark.parametrize(
    "htu",
    [
        pytest.param("", id="empty"),
        pytest.param("/oauth2/token", id="relative"),
        pytest.param("https://user@trust.example.com/oauth2/token", id="userinfo"),
        pytest.param("https://trust.example.com:99999/oauth2/token", id="impossible port"),
        pytest.param("https://[::1/oauth2/token", id="broken address"),
        pytest.param(f" {TOKEN_URL}", id="leading blank"),
        pytest.param(f"{ISSUER}/oauth2\n/token", id="newline that URL parsers drop"),
        pytest.param(f"{ISSUER}/oauth2/tokén", id="outside of ASCII"),
        pytest.param(TOKEN_URL + "?" + "a" * 2048, id="too long"),
        pytest.param("file:///oauth2/token", id="file"),
    ],
)
def test_an_address_that_is_none_is_refused(htu):
    assert refusal_of(forge(a_header(), a_payload(htu=htu), KEY)) == "Malformed"


@pytest.mark.parametrize("htm", ["GET", "post", "POST ", ""])
def test_a_proof_for_another_method_is_refused(htm):
    assert refusal_of(forge(a_header(), a_payload(htm=htm), KEY)) == "Request"


@pytest.mark.parametrize("seconds", [-60, 0, 60])
def test_a_proof_within_its_time_is_accepted(seconds):
    assert proven(a_proof(now=NOW + timedelta(seconds=seconds))) == KEY.key_id


@pytest.mark.parametrize("seconds", [-61, 61, -86_400, 86_400])
def test_a_proof_outside_of_its_time_is_refused(seconds):
    assert refusal_of(a_proof(now=NOW + timedelta(seconds=seconds))) == "Time"


def test_the_time_of_a_proof_is_as_long_as_the_verifier_says():
    proof = a_proof(now=NOW - timedelta(seconds=6))

    assert proven(proof, max_age=6) == KEY.key_id
    assert refusal_of(proof, max_age=5) == "Time"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"typ": ABSENT}, id="typ missing"),
        pytest.param({"typ": "JWT"}, id="typ JWT"),
        pytest.param({"typ": "DPoP+JWT"}, id="typ in another case"),
        pytest.param({"alg": ABSENT}, id="alg missing"),
        pytest.param({"alg": "none"}, id="alg none"),
        pytest.param({"alg": "HS256"}, id="alg symmetric"),
        pytest.param({"alg": "RS256"}, id="alg not advertised"),
        pytest.param({"alg": ["ES256"]}, id="alg a list"),
        pytest.param({"jwk": ABSENT}, id="jwk missing"),
        pytest.param({"jwk": "key"}, id="jwk a string"),
        pytest.param({"jwk": [a_jwk()]}, id="jwk a list"),
        pytest.param({"kid": KEY.key_id}, id="kid"),
        pytest.param({"jku": "https://evil.example"}, id="jku"),
        pytest.param({"crit": ["exp"]}, id="crit"),
        pytest.param({"b64": False, "crit": ["b64"]}, id="b64 false"),
        pytest.param({"jwk": a_jwk(RSA_KEY)}, id="RSA key"),
    ],
)
def test_a_proof_with_another_header_is_refused(changes):
    assert refusal_of(forge(a_header(**changes), a_payload(), KEY)) == "Header"


ED25519_POINT_OF_LOW_ORDER = b64(bytes(32))
ED25519_POINT = b64(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw())


@pytest.mark.parametrize(
    "jwk",
    [
        pytest.param(a_jwk(d=b64(bytes(32))), id="private"),
        pytest.param({"kty": "oct", "k": b64(bytes(32))}, id="symmetric"),
        pytest.param({"kty": "OKP", "crv": "Ed25519", "x": ED25519_POINT}, id="Ed25519"),
        pytest.param({"kty": "OKP", "crv": "Ed25519", "x": ED25519_POINT_OF_LOW_ORDER}, id="Ed25519 of low order"),
        pytest.param(
            {"kty": "RSA", "e": "AQAB", "n": b64(WEAK_RSA.public_key().public_numbers().n.to_bytes(128, "big"))},
            id="RSA of 1024 bits",
        ),
        pytest.param(a_jwk(crv="P-384"), id="other curve"),
        pytest.param(a_jwk(y=a_jwk()["x"]), id="point off the curve"),
        pytest.param(a_jwk(x=b64(bytes(32)), y=b64(bytes(32))), id="point at zero"),
        pytest.param(a_jwk(alg="HS256"), id="key for another alg"),
        pytest.param(a_jwk(x5u="https://evil.example"), id="unknown member"),
        pytest.param({}, id="empty"),
    ],
)
def test_a_proof_with_a_key_that_is_no_public_p256_key_is_refused(jwk):
    assert refusal_of(forge(a_header(jwk=jwk), a_payload(), KEY)) == "Malformed"


def test_a_proof_signed_by_another_key_than_it_shows_is_refused():
    assert refusal_of(forge(a_header(), a_payload(), OTHER_KEY)) == "Signature"


def test_the_public_key_in_a_proof_is_no_hmac_secret():
    signing_input = f"{b64(as_bytes(a_header()))}.{b64(as_bytes(a_payload()))}"

    signature = hmac.digest(as_bytes(a_jwk()), signing_input.encode(), hashlib.sha256)

    assert refusal_of(f"{signing_input}.{b64(signature)}") == "Signature"


def test_a_proof_without_a_signature_is_refused():
    header, payload, _ = a_proof().split(".")

    assert refusal_of(f"{header}.{payload}.") == "Malformed"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"jti": ABSENT}, id="jti missing"),
        pytest.param({"jti": ""}, id="jti empty"),
        pytest.param({"jti": 7}, id="jti a number"),
        pytest.param({"jti": "a" * 129}, id="jti too long"),
        pytest.param({"jti": "a\n"}, id="jti with a newline"),
        pytest.param({"htm": ABSENT}, id="htm missing"),
        pytest.param({"htm": ["POST"]}, id="htm a list"),
        pytest.param({"htu": ABSENT}, id="htu missing"),
        pytest.param({"htu": [TOKEN_URL]}, id="htu a list"),
        pytest.param({"iat": ABSENT}, id="iat missing"),
        pytest.param({"iat": str(NOW_SECONDS)}, id="iat a string"),
        pytest.param({"iat": True}, id="iat a boolean"),
        pytest.param({"iat": None}, id="iat null"),
        pytest.param({"nonce": "n"}, id="a nonce that nobody gave"),
        pytest.param({"ath": b64(bytes(32))}, id="a hash of no token"),
    ],
)
def test_a_proof_with_other_claims_is_refused(changes):
    assert refusal_of(forge(a_header(), a_payload(**changes), KEY)) == "Claims"


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(as_bytes(a_payload())[:-1] + b',"htm":"POST"}', id="duplicate name"),
        pytest.param(as_bytes(a_payload(iat=float(NOW_SECONDS))), id="iat a fraction"),
        pytest.param(as_bytes(a_payload(iat="@")).replace(b'"@"', b"9" * 5000), id="iat of 5000 digits"),
        pytest.param(b"[" * 1000, id="deep nesting"),
        pytest.param(b"7", id="no object"),
    ],
)
def test_a_proof_whose_payload_is_not_strict_json_is_refused(payload):
    assert refusal_of(forge(a_header(), payload, KEY)) == "Malformed"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(None, id="nothing"),
        pytest.param("a.b.c", id="garbage"),
        pytest.param(a_proof() + "=", id="padding"),
        pytest.param(f"{a_proof()}, {a_proof()}", id="two headers joined"),
        pytest.param(a_proof() + "A" * 4096, id="too long"),
    ],
)
def test_what_is_no_proof_is_refused(text):
    assert refusal_of(text) == "Malformed"


def ath(access_token):
    return b64(hashlib.sha256(access_token.encode()).digest())


def test_a_proof_that_comes_with_a_token_is_bound_to_it():
    proof = forge(a_header(), a_payload(ath=ath("t-1")), KEY)

    assert proven(proof, access_token="t-1") == KEY.key_id
    assert refusal_of(proof, access_token="t-2") == "AccessToken"


def test_a_proof_that_comes_with_a_token_but_is_not_bound_to_it_is_refused():
    assert refusal_of(a_proof(), access_token="t-1") == "Claims"
