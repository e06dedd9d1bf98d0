"""The net under the logs: what looks like a key in hexadecimal is redacted, and what only resembles one stays (I11)."""

import base64
import json
import random
import uuid

import pytest

from tallystick.objects.redaction import REDACTED, holds_token, one_line, redact

RANDOM = random.Random(20261130)  # noqa: S311 - the same keys in each run
KEYS = [RANDOM.randbytes(size).hex() for size in (16, 32)]


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("key", KEYS, ids=["128 bits", "256 bits"])
@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "key {} was bad",
        "join-key: {}",
        "join-key={}, key-id=jk-1",
        'join-key="{}"',
        "['{}']",
        "b'{}'",
        "0x{}",
        "{}.",
        "{}\n",
        "before\n{}\nafter",
        "<{}>",
        "master-key:{}",
    ],
)
def test_a_key_in_hexadecimal_is_redacted_wherever_it_stands_alone(key, text):
    for spelled in (key, key.upper()):
        holding = text.format(spelled)

        assert holds_token(holding)
        assert redact(holding) == text.format(REDACTED)
        assert spelled not in redact(json.dumps({"text": holding}))
        assert spelled not in redact(json.dumps(json.dumps({"text": holding})))
        assert spelled not in one_line(holding, 1024)


@pytest.mark.parametrize("key", [*KEYS, KEYS[0].upper(), KEYS[1].upper()])
@pytest.mark.parametrize("around", ["{}", "{}\n", " {}"])
def test_a_key_is_redacted_as_the_data_of_a_secret_spells_it(key, around):
    data = in_base64(around.format(key).strip(" "))

    assert redact(json.dumps({"data": {"join-key": data}})) == json.dumps({"data": {"join-key": REDACTED}})


@pytest.mark.parametrize(
    "text",
    [
        "uid 5d3c5a0e-1f7c-4f0e-9c3b-0a1b2c3d4e5f is gone",
        "fingerprint jk-187bebcceb7ed3ebe80a9011 signs, mk-593c0005ccb30704a21278e9 seals",
        f"use cases digest=sha256:{KEYS[1]}",
        f"image registry.example.com/app@sha256:{KEYS[1]} was not found",
        f"containerd://{KEYS[1]}",
        f"https://{KEYS[0].upper()}.gr7.eu-west-1.eks.amazonaws.com:443 refused",
        f"traceparent 00-{KEYS[0]}-{KEYS[0][:16]}-01",
        f"commit {KEYS[1][:40]}",
        f"name-{KEYS[0]} and {KEYS[0]}-name and {KEYS[0]}.example.com",
        f"one digit more {KEYS[0]}a, one less {KEYS[0][1:]}",
        "resourceVersion 12345678901234567890",
        "kid NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        "claims digest 47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
    ],
)
def test_ids_digests_fingerprints_and_names_stay(text):
    assert redact(text) == text
    assert redact(json.dumps({"text": text})) == json.dumps({"text": text})


def test_no_uid_fingerprint_or_random_base64_is_taken_for_a_key():
    texts = [
        text
        for _ in range(2000)
        for text in (
            str(uuid.UUID(int=RANDOM.getrandbits(128))),
            f"jk-{RANDOM.randbytes(12).hex()}",
            base64.b64encode(RANDOM.randbytes(48)).decode(),
            base64.urlsafe_b64encode(RANDOM.randbytes(32)).decode().rstrip("="),
        )
        if not text.startswith(("eyJ", "ZXlK"))
    ]

    assert [text for text in texts if redact(text) != text] == []
