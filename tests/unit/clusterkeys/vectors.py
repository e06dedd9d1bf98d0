"""The published test vectors (docs/join-key-vectors.json), and keys that are as constant but not weak."""

import hashlib
import json
from typing import Any

from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.crypto.encoding import to_base64url
from tests.unit.test_house import REPOSITORY

Json = dict[str, Any]

VECTORS: Json = json.loads((REPOSITORY / "docs" / "join-key-vectors.json").read_text())


# The refused vectors that are an edit of the last sealed one.
EDITS = {
    "padding": lambda text: text + "==",
    "line end": lambda text: text + "\n",
    "unused bits of the last character": lambda text: text[:-1] + chr(ord(text[-1]) + 1),
    "six segments": lambda text: text + ".AA",
    "empty": lambda _: "",
}


def compact_of(vector: Json) -> str:
    """Return a sealed key of the vectors as one text."""
    hexadecimal = [vector.get("encryptedKey", ""), vector["iv"], vector["ciphertext"], vector["tag"]]
    return ".".join(
        [to_base64url(vector["header"].encode()), *(to_base64url(bytes.fromhex(one)) for one in hexadecimal)]
    )


def counting_key(purpose: Purpose, text: str) -> ClusterKey:
    """A key of the vectors. They count upwards, so `parse_key` refuses them."""
    return ClusterKey(purpose, bytes.fromhex(text))


def a_join_key(name: str = "first", bits: int = 256) -> ClusterKey:
    """The same key for the same name, all through a test run."""
    return ClusterKey(Purpose.JOIN, _bytes_of(f"join {name}", bits))


def a_master_key(name: str = "first", bits: int = 256) -> ClusterKey:
    """The same key for the same name, all through a test run."""
    return ClusterKey(Purpose.MASTER, _bytes_of(f"master {name}", bits))


def _bytes_of(name: str, bits: int) -> bytes:
    return hashlib.sha256(f"a test key: {name}".encode()).digest()[: bits // 8]
