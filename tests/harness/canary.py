"""Search everything that is written anywhere for values that are secret, in all the forms they may take.

A needle is a piece of a value in one form, so short that any run of 23 characters of that form holds one: a value
that was cut, wrapped into lines or put into a longer text is found, too.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tallystick.crypto.keys import SigningKey
from tests.harness.api import Api

Json = dict[str, Any]
Sinks = dict[str, bytes]

PIECE = 16  # characters: 64 bits in hex, 96 in base64
STEP = 8
# All that a needle of text is made of. Such runs are picked out of a log once, instead of once for each needle.
_RUN = re.compile(rb"[A-Za-z0-9_+/=%%\\-]{%d,}" % PIECE)


@dataclass(frozen=True, slots=True)
class Needle:
    """A piece of a secret in one form."""

    secret: str
    form: str
    piece: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """A secret was found in a sink, in one form or more. The value is not told."""

    sink: str
    secret: str


def of_value(secret: str, value: bytes) -> set[Needle]:
    """The needles of a value, whatever its bytes are."""
    needles = {
        Needle(secret, form, piece.encode())
        for form, texts in _forms(value).items()
        for text in texts
        for piece in _pieces(text)
    }
    assert len({needle.form for needle in needles}) >= len(_forms(value)) - 1, f"{secret} is too short to be found"
    return needles


def of_token(secret: str, token: str) -> set[Needle]:
    """The needles of a JWT: its signature as text and as bytes. Header and claims without it are public facts."""
    signature = token.rpartition(".")[2]
    return of_value(secret, signature.encode()) | of_value(secret, _from_base64url(signature))


def of_key(secret: str, key: SigningKey) -> set[Needle]:
    """The needles of a P-256 key: its secret number as bytes, and the part of its PEM that holds that number."""
    number = number_of(key)
    der = key.private_key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    start = der.index(number)
    lines = key.to_pem().decode().splitlines()[1:-1]
    # The rest of the PEM is the same for all keys of the curve, or public. Each 3 bytes are 4 characters.
    first, last = start * 4 // 3 + 2, (start + len(number)) * 4 // 3 - 2
    in_pem = "\n".join(line[max(0, first - 64 * n) : max(0, last - 64 * n)] for n, line in enumerate(lines)).strip("\n")
    return of_value(secret, number) | of_value(secret, in_pem.encode()) | {Needle(secret, "bytes", number)}


def number_of(key: SigningKey) -> bytes:
    """The secret of a P-256 key."""
    assert isinstance(key.private_key, ec.EllipticCurvePrivateKey)
    return key.private_key.private_numbers().private_value.to_bytes(32, "big")


def search(sinks: Mapping[str, bytes], needles: Iterable[Needle]) -> set[Hit]:
    """Find the needles in the sinks."""
    wanted = tuple(needles)
    return {Hit(name, needle.secret) for name, content in sinks.items() for needle in _in(content, wanted)}


def _in(content: bytes, needles: Sequence[Needle]) -> Iterator[Needle]:
    runs = b"\n".join(set(_RUN.findall(content)))
    return (needle for needle in needles if needle.piece in (content if needle.form == "bytes" else runs))


def _forms(value: bytes) -> dict[str, list[str]]:
    """A value as people and programs write it. Text is also taken for what it is."""
    text = value.decode() if value.isascii() and value.decode().replace("\n", "").isprintable() else ""
    forms = {
        "base64": [_base64_inside(value, before) for before in range(3)],
        "base64url": [_base64_inside(value, before).translate(_TO_URL) for before in range(3)],
        "hex": [value.hex(), value.hex().upper()],
        "URL-encoded": [quote(value, safe=""), "".join(f"%{byte:02X}" for byte in value)],
    }
    if text:
        once = json.dumps(text)[1:-1]
        forms |= {"raw": [text], "JSON": [once, json.dumps(once)[1:-1]]}
    return forms


_TO_URL = str.maketrans("+/", "-_")


def _base64_inside(value: bytes, before: int) -> str:
    """Base64 of a value that stands behind so many other bytes; characters that others share are left out."""
    whole = base64.b64encode(bytes(before) + value).decode()
    return whole[(0, 2, 3)[before] : -4]


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text) - PIECE + 1, STEP):
        piece = text[start : start + PIECE]
        if _RUN.fullmatch(piece.encode()):
            yield piece


def _from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def objects(api: Api, holders: Iterable[tuple[str, str]]) -> Sinks:
    """Every object of every kind and version that the API server serves, by its own discovery, with managedFields.

    Args:
        api: somebody who may read all.
        holders: the Secrets (namespace, name) that hold secrets by design: of these alone the values are left out.
    """
    left_out = frozenset(holders)
    found = {}
    for root in ("/api/v1", *_group_roots(api)):
        for resource in json.loads(_get(api, root))["resources"]:
            if "list" not in resource["verbs"] or "/" in resource["name"]:
                continue
            content = _get(api, f"{root}/{resource['name']}")
            if resource["kind"] == "Secret":
                content = _without_values(content, left_out)
            found[f"{root} {resource['name']}"] = content
    return found


def _group_roots(api: Api) -> Iterator[str]:
    for group in json.loads(_get(api, "/apis"))["groups"]:
        yield from (f"/apis/{version['groupVersion']}" for version in group["versions"])


def _get(api: Api, path: str) -> bytes:
    answer = api.pool.request("GET", api.server + path, headers={"Accept": "application/json"})
    assert answer.status == HTTPStatus.OK, (path, answer.status)
    return answer.data


def _without_values(listing: bytes, holders: frozenset[tuple[str, str]]) -> bytes:
    secrets: Json = json.loads(listing)
    for secret in secrets["items"]:
        if (secret["metadata"]["namespace"], secret["metadata"]["name"]) in holders:
            del secret["data"]
    return json.dumps(secrets).encode()


def files(*folders: Path, leave_out: Path) -> Sinks:
    """Every file below some folders, but for those below one: logs, audit logs, drafts, core dumps and all."""
    return {
        str(path): path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_relative_to(leave_out)
    }


def processes(pids: Mapping[str, int]) -> Sinks:
    """What every user of a machine, or the same user, sees of running processes."""
    return {f"{name} {page}": Path(f"/proc/{pid}/{page}").read_bytes() for name, pid in pids.items() for page in _PROC}


_PROC = ("cmdline", "environ")
