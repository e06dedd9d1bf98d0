"""Classes C1 and C2: another encoding of a valid token, another header, another signature."""

import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tallystick.crypto.encoding import from_base64url
from tallystick.crypto.profiles import PAIRING
from tallystick.crypto.tokens import MAX_TOKEN_LENGTH, Reason, sign
from tests.unit.crypto.builders import (
    ABSENT,
    ISSUER,
    NOW,
    a_key,
    a_keyring,
    as_bytes,
    b64,
    changed,
    forge,
    pairing_claims,
    pairing_header,
    refusal_of,
    signed,
    verified,
)

KEY, OTHER_KEY = a_key("first"), a_key("second")


def with_signature(change):
    signing_input, _, signature = signed().rpartition(".")
    return f"{signing_input}.{change(signature)}"


def other_trailing_bits(steps):
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    def change(signature):
        # The last of 86 characters carries two bits of the signature and four that a lenient decoder ignores.
        return signature[:-1] + alphabet[alphabet.index(signature[-1]) + steps]

    return with_signature(change)


def joined(*segments):
    return ".".join(segments)


HEADER, PAYLOAD, SIGNATURE = signed().split(".")


@pytest.mark.parametrize(
    "unverified_jwt",
    [
        pytest.param(signed() + "=", id="one padding character"),
        pytest.param(signed() + "==", id="two padding characters"),
        pytest.param(joined(HEADER + "=", PAYLOAD, SIGNATURE), id="padded header"),
        pytest.param(other_trailing_bits(1), id="trailing bits 1"),
        pytest.param(other_trailing_bits(2), id="trailing bits 2"),
        pytest.param(other_trailing_bits(15), id="trailing bits 15"),
        pytest.param(with_signature(lambda signature: "+/" + signature[2:]), id="standard alphabet"),
        pytest.param(" " + signed(), id="leading blank"),
        pytest.param(signed() + " ", id="trailing blank"),
        pytest.param(joined(HEADER, PAYLOAD[:9] + " " + PAYLOAD[9:], SIGNATURE), id="blank inside"),
        pytest.param(signed() + "\n", id="newline"),
        pytest.param(signed() + "\r\n", id="CRLF"),
        pytest.param(joined(HEADER, PAYLOAD + "\r\n", SIGNATURE), id="CRLF inside"),
        pytest.param(signed() + "\0", id="NUL"),
        pytest.param("\ufeff" + signed(), id="byte order mark"),
        pytest.param(joined(HEADER, PAYLOAD), id="two segments"),
        pytest.param(joined(HEADER, PAYLOAD, SIGNATURE, SIGNATURE), id="four segments"),
        pytest.param(joined(HEADER, PAYLOAD, SIGNATURE, "AA", "AA"), id="five segments"),
        pytest.param(joined("", PAYLOAD, SIGNATURE), id="empty header"),
        pytest.param(joined(HEADER, "", SIGNATURE), id="empty payload"),
        pytest.param(joined(HEADER, PAYLOAD, ""), id="empty signature"),
        pytest.param("..", id="empty everything"),
        pytest.param("", id="empty text"),
        pytest.param(
            json.dumps({"protected": HEADER, "payload": PAYLOAD, "signature": SIGNATURE}), id="JSON serialisation"
        ),
        pytest.param(signed().encode("utf-16").decode("latin-1"), id="UTF-16"),
        pytest.param(signed().replace(".", "\uff0e"), id="full-width dots"),
        pytest.param(signed().replace(".", "%2E"), id="URL-encoded"),
        pytest.param(f"Bearer {signed()}", id="with its scheme"),
        pytest.param(f"{signed()},{signed()}", id="twice"),
        pytest.param(signed() + "A" * 65_536, id="64 KiB"),
        pytest.param("." * 9_000, id="dots"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param(signed().encode(), id="bytes"),
        pytest.param(None, id="nothing"),
    ],
)
def test_another_encoding_of_a_valid_token_is_refused(unverified_jwt):
    assert refusal_of(unverified_jwt) is Reason.MALFORMED


def test_a_token_of_the_greatest_length_is_accepted_and_one_more_is_not():
    claims = pairing_claims(sub="é" * 1024, iss="u" * 1500)
    claims["ext"] |= {"base_url": "u" * 1500, "pairing_url": "u"}
    short = sign(claims, typ=PAIRING.typ, key=KEY)
    # Three bytes of a claim are four characters of the token.
    room = (MAX_TOKEN_LENGTH - len(short)) * 3 // 4 - 2
    claims["ext"]["pairing_url"] = "u" * room

    longest = sign(claims, typ=PAIRING.typ, key=KEY)
    too_long = forge(pairing_header(), changed(claims, scope="s" * 64))

    assert MAX_TOKEN_LENGTH - 4 <= len(longest) <= MAX_TOKEN_LENGTH
    assert verified(longest, issuer="u" * 1500, audience=ISSUER).claims == claims
    assert len(too_long) > MAX_TOKEN_LENGTH
    assert refusal_of(too_long, issuer="u" * 1500, audience=ISSUER) is Reason.MALFORMED


@pytest.mark.parametrize(
    "alg",
    [
        *("none", "None", "nOnE", "", "hs256", "HS256", "HS384", "HS512", "RS256", "es256", "ES256 ", "EdDSA", "PS256"),
        *(["ES256"], 256, None, True, {"alg": "ES256"}),
    ],
    ids=repr,
)
def test_an_algorithm_that_is_not_the_keys_is_refused(alg):
    assert refusal_of(forge(pairing_header(alg=alg), pairing_claims())) is Reason.HEADER


def test_es256_is_refused_for_an_rsa_key():
    key = a_key(alg="RS256")
    token = forge(pairing_header(key, alg="ES256"), pairing_claims(), key)

    assert refusal_of(token, keys=a_keyring(key)) is Reason.HEADER


@pytest.mark.parametrize("algorithm_of_header", ["HS256", "ES256"])
@pytest.mark.parametrize("encoding", ["PEM", "JWK"])
def test_the_public_key_is_no_hmac_secret(algorithm_of_header, encoding):
    public = KEY.private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    secret = public if encoding == "PEM" else as_bytes(KEY.public_jwk())
    signing_input = joined(b64(as_bytes(pairing_header(alg=algorithm_of_header))), b64(as_bytes(pairing_claims())))

    token = joined(signing_input, b64(hmac.digest(secret, signing_input.encode(), hashlib.sha256)))

    assert refusal_of(token) in {Reason.HEADER, Reason.SIGNATURE}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"alg": ABSENT}, id="alg missing"),
        pytest.param({"typ": ABSENT}, id="typ missing"),
        pytest.param({"typ": "JWT"}, id="typ JWT"),
        pytest.param({"typ": "at+jwt"}, id="typ of a master token"),
        pytest.param({"typ": "Pairing+JWT"}, id="typ in another case"),
        pytest.param({"typ": "application/pairing+jwt"}, id="typ with its prefix"),
        pytest.param({"typ": ["pairing+jwt"]}, id="typ as a list"),
        pytest.param({"typ": None}, id="typ null"),
        pytest.param({"kid": ABSENT}, id="kid missing"),
        pytest.param({"kid": 7}, id="kid a number"),
        pytest.param({"kid": None}, id="kid null"),
        pytest.param({"kid": [KEY.key_id]}, id="kid a list"),
        pytest.param({"kid": "A" * 65}, id="kid too long"),
        pytest.param({"crit": ["exp"]}, id="crit unknown"),
        pytest.param({"crit": []}, id="crit empty"),
        pytest.param({"crit": ["alg"]}, id="crit alg"),
        pytest.param({"crit": "exp"}, id="crit a string"),
        pytest.param({"jku": "https://evil.example/jwks"}, id="jku"),
        pytest.param({"x5u": "https://evil.example/x5u"}, id="x5u"),
        pytest.param({"jwk": KEY.public_jwk()}, id="jwk"),
        pytest.param({"x5c": ["AA"]}, id="x5c"),
        pytest.param({"zip": "DEF"}, id="zip"),
        pytest.param({"b64": False, "crit": ["b64"]}, id="b64 false"),
        pytest.param({"b64": True}, id="b64 true"),
        pytest.param({"cty": "JWT"}, id="nested"),
    ],
)
def test_another_header_is_refused_though_properly_signed(changes):
    assert refusal_of(forge(pairing_header(**changes), pairing_claims())) is Reason.HEADER


@pytest.mark.parametrize("kid", ["", "unknown", "../../etc/passwd", "' OR 1=1 --", "https://evil.example/key"])
def test_a_kid_that_names_no_key_of_ours_is_refused(kid):
    assert refusal_of(forge(pairing_header(kid=kid), pairing_claims())) is Reason.KEY


def valid_header_text():
    return json.dumps(pairing_header())[1:-1].encode()


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b'{"alg":"none",' + valid_header_text() + b"}", id="duplicate alg, first"),
        pytest.param(b"{" + valid_header_text() + b',"alg":"ES256"}', id="duplicate alg, last"),
        pytest.param(b"\xef\xbb\xbf{" + valid_header_text() + b"}", id="byte order mark"),
        pytest.param(json.dumps(pairing_header()).encode("utf-16"), id="UTF-16"),
        pytest.param(b"[" + b"{" + valid_header_text() + b"}]", id="array"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[" * 700, id="deep nesting"),
        pytest.param(b"{" + valid_header_text() + b" " * 1024 + b"}", id="too long"),
        pytest.param(json.dumps(pairing_header(kid="A" * 1_000_000)).encode(), id="kid of 1 MB"),
    ],
)
def test_a_header_that_is_not_strict_json_is_refused(header):
    assert refusal_of(forge(header, pairing_claims())) is Reason.MALFORMED


def test_a_token_of_another_key_under_our_kid_is_refused():
    assert refusal_of(forge(pairing_header(), pairing_claims(), OTHER_KEY)) is Reason.SIGNATURE


def test_the_kid_of_another_key_of_the_ring_is_refused():
    keyring = a_keyring().rotate(OTHER_KEY, NOW)

    assert refusal_of(forge(pairing_header(OTHER_KEY), pairing_claims()), keys=keyring) is Reason.SIGNATURE


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(bytes(64), id="zeros"),
        pytest.param(b"\xff" * 64, id="ones"),
        pytest.param(b"\0", id="one byte"),
        pytest.param(from_base64url(SIGNATURE) + b"\0", id="one byte more"),
        pytest.param(from_base64url(SIGNATURE)[:-1], id="one byte less"),
        pytest.param(KEY.private_key.sign(joined(HEADER, PAYLOAD).encode(), ec.ECDSA(hashes.SHA256())), id="DER"),
    ],
)
def test_a_wrong_signature_is_refused(signature):
    assert refusal_of(joined(HEADER, PAYLOAD, b64(signature))) is Reason.SIGNATURE


def test_the_signature_of_other_claims_is_refused():
    other = b64(as_bytes(pairing_claims(sub="admin")))

    assert refusal_of(joined(HEADER, other, SIGNATURE)) is Reason.SIGNATURE
