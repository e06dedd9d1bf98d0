"""A key of the user's own is read from a Secret of its type alone, and each refusal has its text."""

import base64
from typing import Any

import pytest

from tallystick.clusterkeys.domain.keys import ClusterKey, KeyProblem, Purpose
from tallystick.clusterkeys.domain.provided import read_provided
from tests.unit.clusterkeys.vectors import a_join_key, a_master_key

Json = dict[str, Any]

KEY = 'key "join-key" in Secret edge/jk'
AT = "contains a non-hexadecimal character at position"


def a_secret(data: dict[str, str | bytes] | None, *, type_: str = "tallystick.dev/join-key") -> Json:
    encoded = {
        name: base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
        for name, value in (data or {}).items()
    }
    body: Json = {"metadata": {"namespace": "edge", "name": "jk"}, "type": type_}
    return body if data is None else {**body, "data": encoded}


def read(body: Json | None, *, purpose: Purpose = Purpose.JOIN, bits: int | None = None) -> ClusterKey | KeyProblem:
    return read_provided(purpose, body, where="edge/jk", bits=bits)


@pytest.mark.parametrize("bits", [128, 256])
@pytest.mark.parametrize("asked", [True, False])
def test_a_good_key_is_read(bits: int, asked: bool) -> None:
    key = a_join_key(bits=bits)

    assert read(a_secret({"join-key": f"{key.to_hex()}\n", "note": "ours"}), bits=bits if asked else None) == key


def test_a_master_key_is_read_from_a_secret_of_its_type() -> None:
    body = a_secret({"master-key": a_master_key().to_hex()}, type_="tallystick.dev/master-key")

    assert read(body, purpose=Purpose.MASTER) == a_master_key()


PROBLEMS: dict[str, tuple[Json | None, str, str]] = {
    "missing": (
        None,
        "WaitingForKey",
        'Secret edge/jk does not exist yet; create it with type tallystick.dev/join-key and key "join-key"',
    ),
    "without data": (a_secret(None), "KeyMissing", 'Secret edge/jk has no key "join-key"; found: none'),
    "with other data": (
        a_secret({"master-key": "x", "key": "x"}),
        "KeyMissing",
        'Secret edge/jk has no key "join-key"; found: key, master-key',
    ),
    "with much other data": (
        a_secret({f"key-{number}": "x" for number in range(9)}),
        "KeyMissing",
        'Secret edge/jk has no key "join-key"; found: key-0, key-1, key-2, key-3, key-4, 4 more',
    ),
    "with a key as a name": (
        a_secret({a_join_key().to_hex(): "join-key"}),
        "KeyMissing",
        'Secret edge/jk has no key "join-key"; found: 1 more',
    ),
    "with an empty key": (
        a_secret({"join-key": ""}),
        "InvalidKey",
        f"{KEY} must be 32 or 64 hexadecimal characters (AES-128 or AES-256); got 0 characters",
    ),
    "with a bad character": (
        a_secret({"join-key": "abcdef-" + "0" * 25}),
        "InvalidKey",
        f"{KEY} must be 32 or 64 hexadecimal characters (AES-128 or AES-256); {AT} 7",
    ),
    "with a weak key": (
        a_secret({"join-key": "E" * 32}),
        "WeakKey",
        f"{KEY} is not random: it repeats itself, counts, or stands in a manual; make one with openssl rand -hex 32",
    ),
    "of another size": (
        a_secret({"join-key": a_join_key(bits=128).to_hex()}),
        "KeySizeMismatch",
        "spec.keySize is 256 but the key has 128 bits",
    ),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_secret_that_cannot_be_used_has_a_reason_and_a_text(case: str) -> None:
    body, reason, text = PROBLEMS[case]

    assert read(body, bits=256) == KeyProblem(reason, text)


@pytest.mark.parametrize("type_", ["Opaque", "kubernetes.io/tls", "tallystick.dev/master-key", "", "TALLYSTICK.dev/x"])
@pytest.mark.parametrize("data", [None, {}, {"join-key": "x"}, {"join-key": a_join_key().to_hex()}])
def test_s20_a_secret_of_another_type_gets_one_text_whatever_it_holds(
    type_: str, data: dict[str, str | bytes] | None
) -> None:
    problem = read(a_secret(data, type_=type_), bits=128)

    text = "Secret edge/jk cannot be used: its type must be tallystick.dev/join-key"
    assert problem == KeyProblem("WrongSecretType", text)
