import base64
import json
import traceback

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import PyJWK

from tallystick.crypto.encoding import from_base64url
from tallystick.crypto.keys import InvalidKeyError, SigningKey, VerifyingKey, thumbprint, verifying_keys
from tests.unit.crypto.builders import a_key, b64, changed

WEAK_RSA = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the very weakness under test


def secret_numbers(key: SigningKey) -> tuple[str, ...]:
    """All the ways in which a private exponent could show up in a text."""
    numbers = key.private_key.private_numbers()
    secret = numbers.d if isinstance(numbers, rsa.RSAPrivateNumbers) else numbers.private_value
    raw = secret.to_bytes((secret.bit_length() + 7) // 8, "big")
    return str(secret), f"{secret:x}", b64(raw), base64.b64encode(raw).decode()


def test_the_thumbprint_is_that_of_the_example_in_rfc_7638():
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3ok"
        "njhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6"
        "qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awa"
        "pJzKnqDKgw"
    )

    name = thumbprint({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})

    assert name == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("jwk", [{}, {"kty": "oct", "k": "AA"}, {"kty": "EC", "crv": "P-256", "x": "AA"}, {"kty": []}])
def test_what_is_no_public_key_has_no_thumbprint(jwk):
    with pytest.raises(InvalidKeyError):
        thumbprint(jwk)


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_a_private_key_comes_back_from_pem(alg):
    key = a_key(alg=alg)

    read = SigningKey.from_pem(key.to_pem())

    assert read == key
    assert read.alg == alg
    assert read.private_key.private_numbers() == key.private_key.private_numbers()


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_the_public_jwk_is_what_other_libraries_read(alg):
    key = a_key(alg=alg)

    jwk = key.public_jwk()

    assert PyJWK(jwk).key == key.private_key.public_key()
    assert (jwk["kid"], jwk["use"], jwk["alg"]) == (thumbprint(jwk), "sig", alg)
    assert not jwk.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"}


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_a_verifying_key_comes_back_from_its_jwk(alg):
    key = a_key(alg=alg)

    read = VerifyingKey.from_jwk(key.public_jwk())

    assert read == key.verifying_key()
    assert read.public_key == key.private_key.public_key()


def test_coordinates_keep_their_leading_zeros():
    # RFC 7518 6.2.1.2. One key in 128 has such a coordinate; the search ends at once on average after 128 tries.
    numbers = (ec.derive_private_key(n, ec.SECP256R1()) for n in range(1, 10_000))
    short = next(key for key in numbers if key.public_key().public_numbers().x < 1 << 248)

    jwk = SigningKey(short).public_jwk()

    assert len(jwk["x"]) == 43
    assert VerifyingKey.from_jwk(jwk).public_key == short.public_key()


def test_generated_keys_differ():
    assert SigningKey.generate("ES256").key_id != SigningKey.generate("ES256").key_id


def test_a_generated_rsa_key_has_3072_bits():
    key = SigningKey.generate("RS256")

    assert (key.alg, key.private_key.key_size) == ("RS256", 3072)


@pytest.mark.parametrize(
    "private_key",
    [
        pytest.param(ec.generate_private_key(ec.SECP384R1()), id="P-384"),
        pytest.param(ec.generate_private_key(ec.SECP256K1()), id="secp256k1"),
        pytest.param(WEAK_RSA, id="RSA of 1024 bits"),
    ],
)
def test_a_key_that_our_algorithms_cannot_use_is_refused(private_key):
    with pytest.raises(InvalidKeyError):
        SigningKey(private_key)


def pem_of(private_key, encryption=None):
    return private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption or serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param(b"", id="empty"),
        pytest.param(("hunter" + "2").encode(), id="not PEM"),
        pytest.param(pem_of(ed25519.Ed25519PrivateKey.generate()), id="Ed25519"),
        pytest.param(
            pem_of(ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"x")), id="encrypted"
        ),
        pytest.param(a_key().to_pem().replace(b"M", b"N", 1), id="damaged"),
    ],
)
def test_a_pem_that_is_no_plain_key_of_ours_is_refused_without_being_quoted(pem):
    with pytest.raises(InvalidKeyError) as refusal:
        SigningKey.from_pem(pem)

    shown = "".join(traceback.format_exception(refusal.value))
    assert not any(line in shown for line in pem.decode().splitlines() if line and "-----" not in line)


EC_JWK = {name: a_key().public_jwk()[name] for name in ("kty", "crv", "x", "y")}
RSA_JWK = {name: a_key(alg="RS256").public_jwk()[name] for name in ("kty", "n", "e")}
WEAK_MODULUS = WEAK_RSA.public_key().public_numbers().n


@pytest.mark.parametrize(
    "jwk",
    [
        pytest.param(changed(EC_JWK, d="AQ"), id="private EC"),
        pytest.param(changed(RSA_JWK, d="AQ"), id="private RSA"),
        pytest.param(changed(EC_JWK, kty="OKP", crv="Ed25519"), id="Ed25519"),
        pytest.param({"kty": "oct", "k": "AQ"}, id="symmetric"),
        pytest.param(changed(EC_JWK, crv="P-384"), id="other curve"),
        pytest.param(changed(EC_JWK, x=EC_JWK["y"], y=EC_JWK["x"]), id="point off the curve"),
        pytest.param(changed(EC_JWK, x=b64(bytes(32)), y=b64(bytes(32))), id="point at zero"),
        pytest.param(changed(EC_JWK, x=b64(b"\0" + from_base64url(EC_JWK["x"]))), id="x too long"),
        pytest.param(changed(EC_JWK, x=EC_JWK["x"] + "="), id="padding"),
        pytest.param(changed(EC_JWK, x=7), id="number for a coordinate"),
        pytest.param(changed(EC_JWK, x5u="https://evil.example"), id="unknown member"),
        pytest.param(changed(EC_JWK, alg="RS256"), id="alg of another kind"),
        pytest.param(changed(EC_JWK, use="enc"), id="for encryption"),
        pytest.param(changed(RSA_JWK, n=b64(WEAK_MODULUS.to_bytes(128, "big"))), id="RSA of 1024 bits"),
        pytest.param(changed(EC_JWK, y=b64(b"\0" + from_base64url(EC_JWK["y"]))), id="y too long"),
        pytest.param(changed(RSA_JWK, n=b64(b"\0" * 8)), id="modulus zero"),
        pytest.param(changed(RSA_JWK, n=b64(b"\0" + from_base64url(RSA_JWK["n"]))), id="modulus too long"),
        pytest.param(changed(RSA_JWK, e=b64(b"\0\1\0\1")), id="exponent too long"),
        pytest.param({}, id="empty"),
        pytest.param([], id="no object"),
    ],
)
def test_a_jwk_that_is_no_public_key_of_ours_is_refused(jwk):
    with pytest.raises(InvalidKeyError):
        VerifyingKey.from_jwk(jwk)


def test_the_kid_in_a_jwk_is_not_believed():
    read = VerifyingKey.from_jwk({**EC_JWK, "kid": "../../etc/passwd"})

    assert read.key_id == a_key().key_id


def test_keys_that_cannot_be_used_are_left_out_of_a_jwk_set():
    jwks = {"keys": [a_key().public_jwk(), {"kty": "AKP", "alg": "ML-DSA-65"}, None, RSA_JWK]}

    assert verifying_keys(jwks).keys() == {a_key().key_id, a_key(alg="RS256").key_id}


@pytest.mark.parametrize("jwks", [{}, {"keys": None}, {"keys": {}}])
def test_what_is_no_jwk_set_is_refused(jwks):
    with pytest.raises(InvalidKeyError):
        verifying_keys(jwks)


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_no_text_of_a_key_shows_what_is_private(alg):
    key = a_key(alg=alg)

    shown = f"{key!r} {key!s} {key.verifying_key()!r} {json.dumps(key.public_jwk())}"

    assert repr(key) == f"SigningKey(alg='{alg}', key_id='{key.key_id}')"
    assert not any(secret in shown for secret in secret_numbers(key))
