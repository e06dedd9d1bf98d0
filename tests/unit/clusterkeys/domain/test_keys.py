"""A key in memory: what is read as one, how it is named, and that nothing shows it."""

import copy
import hmac
import json
import logging
import pickle
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.clusterkeys.domain.keys import ClusterKey, KeyProblem, Purpose, derive, parse_key
from tests.harness.proofs import Figure
from tests.unit.clusterkeys.vectors import VECTORS, Json, a_join_key, a_master_key, counting_key

PURPOSES = {"join": Purpose.JOIN, "master": Purpose.MASTER}
FORM = "must be 32 or 64 hexadecimal characters (AES-128 or AES-256)"
AT = "contains a non-hexadecimal character at position"
WEAK = "is not random: it repeats itself, counts, or stands in a manual; make one with openssl rand -hex 32"
GOOD_128, GOOD_256 = a_join_key(bits=128).to_hex(), a_join_key().to_hex()

# RFC 5869, appendix A: the test cases 1 to 3 of SHA-256.
RFC_5869 = {
    "A.1": (
        "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    "A.2": (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    "A.3": (
        "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
        "",
        "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
}

BAD_KEYS: dict[str, tuple[str | bytes, str, str]] = {
    "empty": ("", "InvalidKey", f"{FORM}; got 0 characters"),
    "only blanks": (" \t\r\n ", "InvalidKey", f"{FORM}; got 0 characters"),
    "one character short": (GOOD_128[:-1], "InvalidKey", f"{FORM}; got 31 characters"),
    "one character long": (GOOD_128 + "0", "InvalidKey", f"{FORM}; got 33 characters"),
    "between the sizes": (GOOD_256[:48], "InvalidKey", f"{FORM}; got 48 characters"),
    "one character short of 256 bits": (GOOD_256[:-1], "InvalidKey", f"{FORM}; got 63 characters"),
    "two keys": (GOOD_256 + GOOD_256, "InvalidKey", f"{FORM}; got 128 characters"),
    "base64 of a key": ("q" * 43 + "=", "InvalidKey", f"{FORM}; got 44 characters"),
    "with 0x before it": ("0x" + GOOD_128, "InvalidKey", f"{FORM}; got 34 characters"),
    "with quotes": (f'"{GOOD_256}"', "InvalidKey", f"{FORM}; got 66 characters"),
    "with its bytes apart": (" ".join([GOOD_128[:2]] * 11), "InvalidKey", f"{FORM}; {AT} 3"),
    "with a line end inside": (GOOD_128[:16] + "\n" + GOOD_128[17:], "InvalidKey", f"{FORM}; {AT} 17"),
    "a letter after f": ("g" + GOOD_128[1:], "InvalidKey", f"{FORM}; {AT} 1"),
    "the last character": (GOOD_256[:-1] + "z", "InvalidKey", f"{FORM}; {AT} 64"),
    "digits of another script": ("\u0661" * 32, "InvalidKey", f"{FORM}; {AT} 1"),
    "with a blank of Unicode around it": (GOOD_128 + "\u00a0", "InvalidKey", f"{FORM}; got 33 characters"),
    "32 raw bytes": (bytes(range(0x80, 0xA0)), "InvalidKey", f"{FORM}; {AT} 1"),
    "of zeros": ("0" * 64, "WeakKey", WEAK),
    "of E, from old charts": ("E" * 32, "WeakKey", WEAK),
    "a word over and over": ("deadbeef" * 8, "WeakKey", WEAK),
    "a key of 128 bits twice": (GOOD_128 * 2, "WeakKey", WEAK),
    "counting down": (bytes(range(31, -1, -1)).hex(), "WeakKey", WEAK),
    "from a manual": ("2672b66f91e12ff207d77cd34d94d997", "WeakKey", WEAK),
}


@pytest.mark.parametrize("case", RFC_5869)
def test_the_derivation_is_that_of_rfc_5869(case: str) -> None:
    ikm, salt, info, okm = (bytes.fromhex(text) for text in RFC_5869[case])

    assert HKDF(SHA256(), len(okm), salt or None, info).derive(ikm) == okm
    if not salt:
        assert derive(ikm, info.decode(), len(okm)) == okm


@pytest.mark.parametrize("vector", VECTORS["fingerprint"], ids=lambda vector: vector["fingerprint"])
def test_a_fingerprint_is_that_of_the_vectors(vector: Json) -> None:
    assert counting_key(PURPOSES[vector["kind"]], vector["key"]).fingerprint == vector["fingerprint"]


@pytest.mark.parametrize("text", [vector[name] for part, name in (("fingerprint", "key"), ("hs256", "joinKey"),
    ("sealed", "masterKey"), ("sealed", "joinKey")) for vector in VECTORS[part]])  # fmt: skip
def test_each_key_of_the_vectors_is_refused(text: str) -> None:
    assert parse_key(Purpose.JOIN, text) == KeyProblem("WeakKey", WEAK)


def test_the_table_of_bad_keys_has_23_rows() -> None:
    assert len(BAD_KEYS) == 23


@pytest.mark.parametrize("case", BAD_KEYS)
@pytest.mark.parametrize("purpose", Purpose)
def test_a_bad_key_is_refused_with_its_text(case: str, purpose: Purpose) -> None:
    text, reason, message = BAD_KEYS[case]

    problem = parse_key(purpose, text)

    assert isinstance(problem, KeyProblem)
    assert (problem.reason, problem.text) == (reason, message)


@pytest.mark.parametrize("bits", [128, 256])
def test_a_key_is_read_in_either_case_and_with_blanks_around_it(bits: int) -> None:
    key = a_join_key(bits=bits)

    for spelling in (key.to_hex(), key.to_hex().upper(), f" \t{key.to_hex()}\r\n", f"{key.to_hex()}\n".encode()):
        assert parse_key(Purpose.JOIN, spelling) == key
    assert key.bits == bits


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("period", range(1, 17))
def test_a_key_with_a_period_of_at_most_half_its_length_is_weak(size: int, period: int) -> None:
    start = a_join_key().to_bytes()[:period]
    repeated = (start * size)[:size]
    is_weak = period <= size // 2

    assert isinstance(parse_key(Purpose.JOIN, repeated.hex()), KeyProblem) == is_weak


@pytest.mark.parametrize("step", range(256))
def test_a_key_with_a_constant_difference_is_weak(step: int) -> None:
    counted = bytes((7 + step * place) % 256 for place in range(32))

    assert isinstance(parse_key(Purpose.JOIN, counted.hex()), KeyProblem)


SOAK = 10_000
MESSAGE = re.compile(rf"{re.escape(WEAK)}|{re.escape(FORM)}; (got \d{{1,3}} characters|{AT} \d{{1,3}})")
_CHARACTERS = st.one_of(
    st.text(alphabet="0123456789abcdefABCDEF", max_size=130),
    st.text(alphabet="0123456789abcdefABCDEF", min_size=31, max_size=65),
    st.text(alphabet="0123456789abcdefghijABCDEFGHIJ+/= \n_-.", min_size=32, max_size=32),
    st.text(alphabet="0123456789abcdefghijABCDEFGHIJ+/= \n_-.", min_size=64, max_size=64),
    st.binary(max_size=80),
    st.text(max_size=70),
)


@pytest.mark.proof(gate=500, soak=SOAK)
def test_no_message_repeats_four_characters_of_a_bad_key(rounds: int, figure: Figure) -> None:
    seen = 0

    @settings(max_examples=rounds, deadline=None, database=None, derandomize=rounds < SOAK)
    @given(text=_CHARACTERS)
    def check(text: str | bytes) -> None:
        nonlocal seen
        problem = parse_key(Purpose.MASTER, text)
        if isinstance(problem, ClusterKey):
            return
        seen += 1
        # All words are constant, and a number of three digits cannot repeat four characters.
        assert MESSAGE.fullmatch(problem.text)

    check()
    figure(f"{seen} bad keys, 0 messages that repeat 4 characters of one")
    assert seen > rounds / 2


def test_a_generated_key_has_the_size_that_was_asked_for() -> None:
    for bits in (128, 256):
        key = ClusterKey.generate(Purpose.MASTER, bits, secrets.token_bytes)

        assert key.bits == bits
        assert parse_key(Purpose.MASTER, key.to_hex()) == key


def test_a_weak_random_number_is_drawn_again() -> None:
    drawn = iter([bytes(16), bytes(range(16)), a_join_key(bits=128).to_bytes()])

    assert ClusterKey.generate(Purpose.JOIN, 128, lambda _: next(drawn)) == a_join_key(bits=128)


def test_a_source_that_only_repeats_itself_ends_with_an_error() -> None:
    with pytest.raises(RuntimeError, match="the source of random numbers repeats itself"):
        ClusterKey.generate(Purpose.JOIN, 256, bytes)


def test_a_key_of_another_size_is_no_key() -> None:
    with pytest.raises(ValueError, match="128 or 256 bits"):
        ClusterKey(Purpose.JOIN, b"\1" * 24)


def test_keys_are_equal_if_bytes_and_purpose_are() -> None:
    key, same = a_join_key(), ClusterKey(Purpose.JOIN, a_join_key().to_bytes())
    master = ClusterKey(Purpose.MASTER, key.to_bytes())

    assert key == same
    assert key != a_join_key("second")
    assert key != master
    assert key != key.to_bytes()
    assert (key.same_bytes(master), key.same_bytes(a_master_key())) == (True, False)
    assert key.fingerprint[3:] != master.fingerprint[3:]


@pytest.mark.parametrize("compare", [ClusterKey.__eq__, ClusterKey.same_bytes])
def test_two_keys_are_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch, compare: Callable[[ClusterKey, ClusterKey], bool]
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def in_constant_time(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return True

    monkeypatch.setattr(hmac, "compare_digest", in_constant_time)
    key, other = a_join_key(), a_join_key("second")

    assert compare(key, other)
    assert compared == [(key.to_bytes(), other.to_bytes())]


@dataclass
class Holder:
    key: ClusterKey


SHOWN = {
    "repr": repr,
    "str": str,
    "format": lambda key: f"{key} {key!r} {key!s}",
    "percent": lambda key: "%s %r" % (key, key),  # noqa: UP031 - as logging formats
    "log": lambda key: logging.LogRecord("x", 1, "x", 1, "%s", (key,), None).getMessage(),
    "of a holder": lambda key: repr(Holder(key)),
}
REFUSED = {
    "pickle": pickle.dumps,
    "the oldest pickle": lambda key: pickle.dumps(key, 0),
    "json": json.dumps,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "asdict": lambda key: asdict(Holder(key)),
    "hash": hash,
    "a dict": vars,
    "bytes": bytes,
    "a wide format": lambda key: f"{key:>80}",
}


@pytest.mark.parametrize("way", SHOWN)
def test_a_key_shows_its_fingerprint_and_never_its_value(way: str) -> None:
    shown = SHOWN[way](a_join_key())

    assert a_join_key().fingerprint in shown
    assert a_join_key().to_hex() not in shown.lower()
    assert repr(a_join_key().to_bytes())[2:10] not in shown


@pytest.mark.parametrize("way", REFUSED)
def test_a_key_leaves_the_process_in_no_other_way(way: str) -> None:
    with pytest.raises(TypeError) as caught:
        REFUSED[way](a_join_key())

    assert a_join_key().to_hex() not in str(caught.value)
