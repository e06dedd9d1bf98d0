"""A sealed join key has one spelling, opens under its master key alone, and belongs to one object."""

import dataclasses
import json
import secrets
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jwe
from joserfc.jwk import OctKey
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK

from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.clusterkeys.domain.sealing import (
    SealedFor,
    SealProblem,
    UnverifiedSeal,
    open_sealed,
    read_sealed,
    seal,
    sealed_kid,
)
from tallystick.crypto.encoding import from_base64url, to_base64url, to_json
from tests.unit.clusterkeys.vectors import (
    EDITS,
    VECTORS,
    Json,
    a_join_key,
    a_master_key,
    compact_of,
    counting_key,
)

ABOUT = SealedFor("JoinKey", "edge", "jpd-1", "5d3c5a0e-0000-4000-8000-000000000000", 3)
NOT_COMPACT = SealProblem("NotASealedKey", "not the compact form of a sealed join key")
NOT_CANONICAL = SealProblem("NotASealedKey", "not the canonical form of a sealed join key")
NOT_THE_HEADER = SealProblem("NotASealedKey", "not the header of a sealed join key")

# RFC 7520 5.6: Direct encryption using AES-GCM.
RFC_7520 = (
    "eyJhbGciOiJkaXIiLCJraWQiOiI3N2M3ZTJiOC02ZTEzLTQ1Y2YtODY3Mi02MTdiNWI0NTI0M2EiLCJlbmMiOiJBMTI4R0NNIn0."
    ".refa467QzzKx6QAB.JW_i_f52hww_ELQPGaYyeAB6HYGcR559l9TYnSovc23XJoBcW29rHP8yZOZG7YhLpT1bjFuvZPjQS-m0IF"
    "tVcXkZXdH_lr_FrdYt9HRUYkshtrMmIUAyGmUnd9zMDB2n0cRDIHAzFVeJUDxkUwVAE7_YGRPdcqMyiBoCO-FBdE-Nceb4h3-FtB"
    "P-c_BIwCPTjb9o0SbdcdREEMJMyZBH8ySWMVi1gPD9yxi-aQpGbSv_F9N4IZAxscj5g-NJsUPbjk29-s7LJAGb15wEBtXphVCgyy"
    "53CoIKLHHeJHXex45Uz9aKZSRSInZI-wjsY0yu3cT4_aQ3i1o-tiE-F8Ios61EKgyIQ4CWao8PFMj8TTnp.vbb32Xvllea2OtmHA"
    "dccRQ"
)
RFC_7520_KEY = "XctOhJAkA-pD9Lh7ZgW_2A"
RFC_7520_TEXT = (
    "You can trust us to stick with you through thick and thin\N{EN DASH}to the bitter end. "
    "And you can trust us to keep any secret of yours\N{EN DASH}closer than you keep it yourself. "
    "But you cannot trust us to let you face trouble alone, and go off without a word. We are your friends, Frodo."
)
# RFC 7516 A.1.3 to A.1.6: the content key, and what it encrypts.
RFC_7516_KEY = bytes.fromhex("b1a1f480548fe1733fb403ff6b9ad4f68a076e5b702e22692f82cb2e7aea40fc")


def vector_about(expected: Json) -> SealedFor:
    return SealedFor(expected["kind"], expected["ns"], expected["name"], expected["uid"], expected["version"])


def last_sealed() -> str:
    return compact_of(VECTORS["sealed"][-1])


def master_of(vector: Json) -> ClusterKey:
    return counting_key(Purpose.MASTER, vector["masterKey"])


def forged(header: Any, *, plaintext: str = "", master: ClusterKey | None = None, raw_header: bytes = b"") -> str:
    """Encrypt with `cryptography` alone, so that a text is refused for the reason under test and no other."""
    protected = to_base64url(raw_header or to_json(header))
    iv = secrets.token_bytes(12)
    plain = (plaintext or a_join_key().to_hex()).encode()
    sealed = AESGCM((master or a_master_key()).to_bytes()).encrypt(iv, plain, protected.encode())
    return ".".join([protected, "", to_base64url(iv), to_base64url(sealed[:-16]), to_base64url(sealed[-16:])])


def header_of(text: str) -> Json:
    header: Json = json.loads(from_base64url(text.partition(".")[0]))
    return header


def open_any(text: str, masters: list[ClusterKey]) -> ClusterKey | SealProblem:
    """Open a text whatever object it names."""
    unverified = read_sealed(text)
    return unverified if isinstance(unverified, SealProblem) else open_sealed(text, masters, unverified.about)


def a_sealed(join: ClusterKey | None = None, master: ClusterKey | None = None) -> str:
    return seal(join or a_join_key(), master or a_master_key(), ABOUT, secrets.token_bytes)


def test_the_vectors_are_10_to_accept_and_23_to_refuse() -> None:
    accepted = [*VECTORS["fingerprint"], *VECTORS["hs256"], *VECTORS["sealed"]]

    assert (len(accepted), len(VECTORS["refused"])) == (10, 23)


@pytest.mark.parametrize("vector", VECTORS["sealed"])
def test_a_sealed_key_of_the_vectors_is_opened(vector: Json) -> None:
    about = vector_about(json.loads(vector["header"])["tallystick"])

    opened = open_sealed(compact_of(vector), [a_master_key(), master_of(vector)], about)

    assert opened == counting_key(Purpose.JOIN, vector["plaintext"])
    assert vector["plaintext"] == vector["joinKey"]


@pytest.mark.parametrize("vector", VECTORS["sealed"])
def test_a_key_is_sealed_byte_for_byte_as_in_the_vectors(vector: Json) -> None:
    about = vector_about(json.loads(vector["header"])["tallystick"])
    join, iv = counting_key(Purpose.JOIN, vector["joinKey"]), bytes.fromhex(vector["iv"])

    assert seal(join, master_of(vector), about, lambda size: iv[:size]) == compact_of(vector)


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["case"].replace(" ", "-"))
def test_a_sealed_key_of_the_vectors_is_refused_with_its_text(vector: Json) -> None:
    text = EDITS[vector["case"]](last_sealed()) if "edit" in vector else compact_of(vector)
    masters = [master_of(vector)]

    if "expectedObject" in vector:
        problem = open_sealed(text, masters, vector_about(vector["expectedObject"]))
    else:
        problem = open_any(text, masters)

    assert isinstance(problem, SealProblem)
    assert (problem.reason, problem.text) == (vector["error"], vector["message"])


@pytest.mark.parametrize("bits_of_join", [128, 256])
@pytest.mark.parametrize("bits_of_master", [128, 256])
def test_what_is_sealed_is_opened_again(bits_of_join: int, bits_of_master: int) -> None:
    join, master = a_join_key(bits=bits_of_join), a_master_key(bits=bits_of_master)

    text = a_sealed(join, master)

    assert open_sealed(text, [master], ABOUT) == join
    assert open_any(text, [master]) == join
    assert sealed_kid(text) == master.fingerprint
    protected, _, *encrypted = text.split(".")
    segments = (protected, *map(from_base64url, encrypted))
    assert read_sealed(text) == UnverifiedSeal(master.fingerprint, f"A{bits_of_master}GCM", ABOUT, *segments)
    assert from_base64url(text.partition(".")[0]) == to_json(header_of(text))


@pytest.mark.parametrize("bits_of_master", [128, 256])
def test_another_library_opens_what_we_seal(bits_of_master: int) -> None:
    join, master = a_join_key(), a_master_key(bits=bits_of_master)
    token = JWE(algs=["dir", "A128GCM", "A256GCM"])

    token.deserialize(a_sealed(join, master), JWK(kty="oct", k=to_base64url(master.to_bytes())))

    assert token.payload.decode() == join.to_hex()


@pytest.mark.parametrize("bits_of_master", [128, 256])
def test_what_another_library_seals_in_our_form_is_opened(bits_of_master: int) -> None:
    join, master = a_join_key(), a_master_key(bits=bits_of_master)
    header = to_json(header_of(a_sealed(join, master))).decode()
    token = JWE(join.to_hex().encode(), protected=header, algs=["dir", "A128GCM", "A256GCM"])

    token.add_recipient(JWK(kty="oct", k=to_base64url(master.to_bytes())))

    assert open_sealed(token.serialize(compact=True), [master], ABOUT) == join


def test_the_iv_is_12_bytes_of_the_random_source_and_no_other() -> None:
    asked: list[int] = []

    def random(size: int) -> bytes:
        asked.append(size)
        return b"\7" * size

    text = seal(a_join_key(), a_master_key(), ABOUT, random)

    assert asked == [12]
    assert from_base64url(text.split(".")[2]) == b"\7" * 12


@pytest.mark.parametrize(
    ("field", "value"),
    [("kind", "MasterKey"), ("namespace", "rt"), ("name", "jpd-2"), ("uid", "another"), ("version", 2)],
)
def test_a_key_sealed_for_another_object_is_refused(field: str, value: Any) -> None:
    master = a_master_key()
    other = dataclasses.replace(ABOUT, **{field: value})

    problem = open_sealed(a_sealed(master=master), [master], other)

    assert problem == SealProblem("NotASealedKey", "sealed for another object", master.fingerprint)


def test_another_master_key_is_named_before_the_object_is_compared() -> None:
    text, other = a_sealed(), a_master_key("second")

    problem = open_sealed(text, [other], dataclasses.replace(ABOUT, name="jpd-2"))

    ours, theirs = a_master_key().fingerprint, other.fingerprint
    expected = f"encrypted join key was made with master key {ours}, this service has {theirs}"
    assert problem == SealProblem("MasterKeyMismatch", expected, ours)


def test_the_text_names_each_master_key_that_is_there() -> None:
    text, second, third = a_sealed(), a_master_key("second"), a_master_key("third")

    both, none = open_sealed(text, [second, third], ABOUT), open_sealed(text, [], ABOUT)

    assert isinstance(both, SealProblem)
    assert both.text.endswith(f"this service has {second.fingerprint} and {third.fingerprint}")
    assert isinstance(none, SealProblem)
    assert none.text.endswith("this service has none")


@pytest.mark.parametrize("member", ["alg", "enc", "kid", "tallystick", "typ"])
@pytest.mark.parametrize("value", [None, 1, True, [], {}, "", "x", "A256GCM ", "dir\n"])
def test_a_header_with_another_value_is_refused(member: str, value: Any) -> None:
    header = {**header_of(a_sealed()), member: value}

    assert open_any(forged(header), [a_master_key()]) == NOT_THE_HEADER


@pytest.mark.parametrize("member", ["kind", "name", "ns", "uid", "version"])
@pytest.mark.parametrize("value", [None, True, 0, -1, 10**10, [], "", "a" * 65, "a b", {"x": 1}])
def test_a_header_with_another_object_is_refused(member: str, value: Any) -> None:
    header = header_of(a_sealed())
    header["tallystick"][member] = value

    assert open_any(forged(header), [a_master_key()]) == NOT_THE_HEADER


@pytest.mark.parametrize("member", ["alg", "enc", "kid", "tallystick", "typ"])
def test_a_header_without_a_member_is_refused(member: str) -> None:
    header = {name: value for name, value in header_of(a_sealed()).items() if name != member}

    assert open_any(forged(header), [a_master_key()]) == NOT_THE_HEADER


@pytest.mark.parametrize("raw", [b"null", b"[]", b"{", b"\xff", b'"x"', b"{}\n", b"\xef\xbb\xbf{}", b"[" * 500])
def test_a_header_that_is_no_object_is_refused(raw: bytes) -> None:
    assert open_any(forged(None, raw_header=raw), [a_master_key()]) == NOT_CANONICAL


@pytest.mark.parametrize("plaintext", ["x", a_join_key().to_hex().upper(), a_join_key().to_hex() + "\n", "0" * 48])
def test_a_plaintext_that_is_not_a_join_key_is_refused(plaintext: str) -> None:
    text = forged(header_of(a_sealed()), plaintext=plaintext)

    problem = open_sealed(text, [a_master_key()], ABOUT)

    assert problem == SealProblem("NotASealedKey", "it does not contain a join key", a_master_key().fingerprint)


def test_each_single_character_of_a_sealed_key_counts() -> None:
    text = a_sealed()
    opened = [
        place
        for place, character in enumerate(text)
        for other in ("A", "B", ".", "=")
        if other != character
        and isinstance(open_any(text[:place] + other + text[place + 1 :], [a_master_key()]), ClusterKey)
    ]

    assert opened == []


def test_a_text_of_more_than_4096_characters_is_not_read() -> None:
    header = header_of(a_sealed())

    assert read_sealed(forged(header, plaintext="0" * 4000)) == NOT_COMPACT
    assert isinstance(read_sealed(forged(header, plaintext="0" * 2000)), UnverifiedSeal)


@pytest.mark.parametrize("text", ["", "x", "a.b.c", a_join_key().to_hex(), "...."])
def test_a_text_that_is_not_sealed_names_no_master_key(text: str) -> None:
    assert sealed_kid(text) is None


@pytest.mark.parametrize(
    ("join", "master"),
    [
        (a_join_key(), ClusterKey(Purpose.MASTER, a_join_key().to_bytes())),
        (a_master_key(), a_master_key("second")),
        (a_join_key(), a_join_key("second")),
    ],
)
def test_a_key_is_sealed_under_another_and_a_master_key_alone(join: ClusterKey, master: ClusterKey) -> None:
    with pytest.raises(ValueError, match="the two must differ"):
        seal(join, master, ABOUT, secrets.token_bytes)


def test_a_key_is_not_sealed_for_an_object_that_could_not_be_read_back() -> None:
    with pytest.raises(RuntimeError, match="cannot be opened again"):
        seal(a_join_key(), a_master_key(), dataclasses.replace(ABOUT, version=0), secrets.token_bytes)


def test_the_example_of_rfc_7520_is_decrypted() -> None:
    key = OctKey.import_key(from_base64url(RFC_7520_KEY))

    opened = jwe.decrypt_compact(RFC_7520, key, algorithms=["dir", "A128GCM"])

    assert opened.plaintext is not None
    assert opened.plaintext.decode() == RFC_7520_TEXT


def test_the_example_of_rfc_7516_is_decrypted() -> None:
    cipher = jwe.default_registry.get_enc("A256GCM")
    ciphertext = from_base64url("5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A")
    iv, tag = from_base64url("48V1_ALb6US04U3b"), from_base64url("XFBoMYUZodetZdvTiFvSkQ")

    plaintext = cipher.decrypt(ciphertext, tag, RFC_7516_KEY, iv, b"eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ")

    assert plaintext == b"The true sign of intelligence is not knowledge but imagination."


def test_the_example_of_rfc_7515_is_verified() -> None:
    key = from_base64url("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
    token = (
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    )

    claims = jwt.decode(token, key, algorithms=["HS256"], options={"verify_exp": False})

    assert claims == {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}
