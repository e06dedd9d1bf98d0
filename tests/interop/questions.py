"""The questions to each program about service tokens and sealed keys, and the answers that are right."""

import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.clusterkeys.domain.sealing import SealedFor, seal
from tallystick.crypto.encoding import to_base64url, to_json
from tests.unit.clusterkeys.vectors import EDITS, VECTORS, compact_of

Json = dict[str, Any]

NOW = 1_796_040_000
KEYS = {
    bits: [ClusterKey.generate(Purpose.JOIN, bits, secrets.token_bytes).to_hex() for _ in range(2)]
    for bits in (128, 256)
}
SERVICES = ["artifactory", "access"]


@dataclass(frozen=True, slots=True)
class Case:
    """One question. `result` is what must be in the answer, `error` the text of the refusal; '' accepts any text."""

    name: str
    question: Json
    result: Any = None
    error: str | None = field(default=None)


def member(keys: list[str], *, services: list[str] = SERVICES, cluster: str = "jpd-1", now: int = NOW) -> Json:
    """Return the part of a question that describes a service."""
    return {"keys": keys, "cluster": cluster, "services": services, "now": now}


def vectors() -> list[Case]:
    """Ask for what docs/join-key-vectors.json states."""
    fingerprints = [
        Case(f"fingerprint {one['fingerprint']}", {"op": "fingerprint", "kind": one["kind"], "key": one["key"]},
             one["fingerprint"])
        for one in VECTORS["fingerprint"]
    ]  # fmt: skip
    return [*fingerprints, *map(_token_of_vector, VECTORS["hs256"]), *map(_sealed_of_vector, VECTORS["sealed"])]


def _token_of_vector(vector: Json) -> Case:
    parts = [to_base64url(vector[part].encode()) for part in ("header", "claims")]
    asked = member([vector["joinKey"]], services=["artifactory"], cluster="example", now=1767225700)
    token = ".".join([*parts, vector["signature"]])
    return Case("token of the vectors", {"op": "verify", "token": token, **asked}, json.loads(vector["claims"]))


def _sealed_of_vector(vector: Json) -> Case:
    question = {"op": "open", "sealed": compact_of(vector), "key": vector["masterKey"]}
    return Case("sealed key of the vectors", question, vector["plaintext"])


def refused_vectors() -> list[Case]:
    """Ask for the sealed keys that must not be opened, less the one that is for another object."""
    last = compact_of(VECTORS["sealed"][-1])
    return [
        Case(
            f"sealed key: {one['case']}",
            {
                "op": "open",
                "sealed": EDITS[one["case"]](last) if "edit" in one else compact_of(one),
                "key": one["masterKey"],
            },
            error=one["message"] if one["error"] == "MasterKeyMismatch" else "",
        )
        for one in VECTORS["refused"]
        if one["case"] != "sealed for another name"
    ]


def sealed_here() -> list[Case]:
    """Ask for random join keys that this code sealed under random master keys."""
    cases = []
    for bits_of_join in (128, 256):
        for bits_of_master in (128, 256):
            join = ClusterKey.generate(Purpose.JOIN, bits_of_join, secrets.token_bytes)
            master = ClusterKey.generate(Purpose.MASTER, bits_of_master, secrets.token_bytes)
            about = SealedFor("JoinKey", "edge", "jpd-1", "5d3c5a0e-0000-4000-8000-000000000000", 1)
            text = seal(join, master, about, secrets.token_bytes)
            question = {"op": "open", "sealed": text, "key": master.to_hex()}
            cases.append(Case(f"{bits_of_join} bits sealed under {bits_of_master}", question, join.to_hex()))
    return cases


def refused_tokens() -> list[Case]:
    """Ask for tokens that are signed under the right key, and are no valid service tokens all the same."""
    key = ClusterKey(Purpose.JOIN, bytes.fromhex(KEYS[256][0]))
    other = ClusterKey(Purpose.JOIN, bytes.fromhex(KEYS[256][1]))
    header = {"alg": "HS256", "kid": key.fingerprint, "typ": "service+jwt"}
    claims = {"aud": "jpd-1", "exp": NOW + 300, "iat": NOW, "iss": "access", "jti": "t-1"}
    good = _forged(key, header, claims)
    asked = member([key.to_hex()])
    wrong = {
        **{f"header {edit}": _forged(key, {**header, **edit}, claims) for edit in _HEADERS},
        **{f"no {name}": _forged(key, _without(header, name), claims) for name in header},
        **{f"claims {edit}": _forged(key, header, {**claims, **edit}) for edit in _CLAIMS},
        **{f"no {name}": _forged(key, header, _without(claims, name)) for name in claims},
        "signed under another key": _forged(other, header, claims),
        "signed with the join key itself": _forged(key, header, claims, mac_key=key.to_bytes()),
        "padding": good + "=", "a line end": good + "\n", "four segments": good + ".AA",
        "no signature": good.rpartition(".")[0] + ".", "unused bits": good[:-1] + chr(ord(good[-1]) + 1),
        "alg none": _forged(key, {**header, "alg": "none"}, claims).rpartition(".")[0] + ".",
        "empty": "", "a list": _forged(key, header, [claims]), "null": _forged(key, header, None),
    }  # fmt: skip
    cases = [Case(f"token: {name}", {"op": "verify", "token": text, **asked}, error="") for name, text in wrong.items()]
    mismatch = f"join key mismatch (token kid {key.fingerprint}, local kid {other.fingerprint})"
    return [
        Case("the token that is right", {"op": "verify", "token": good, **asked}, claims),
        Case("another join key", {"op": "verify", "token": good, **member([other.to_hex()])}, error=mismatch),
        Case("one second after exp", {"op": "verify", "token": good, **asked, "now": NOW + 300}, error=""),
        Case("61 seconds before iat", {"op": "verify", "token": good, **asked, "now": NOW - 61}, error=""),
        *cases,
    ]


_HEADERS: list[Json] = [
    *({"alg": value} for value in ("HS512", "RS256", "hs256")),
    *({"typ": value} for value in ("JWT", "at+jwt")),
    *({"kid": value} for value in ("../join-key", ["x"], None)),
    {"crit": ["exp"]},
    {"jwk": {"kty": "oct", "k": "AA"}},
    {"zip": "DEF"},
]
_CLAIMS: list[Json] = [
    *({"aud": value} for value in ("jpd-2", ["jpd-1"], ["jpd-1", "jpd-2"], None)),
    *({"iss": value} for value in ("xray", ["access"], "")),
    *({"jti": value} for value in ("", "j" * 65, 1)),
    *({"exp": value} for value in (str(NOW + 300), NOW, NOW + 3601, None, True)),
    *({"iat": value} for value in (str(NOW), None, 0.5)),
    {"exp": NOW - 1, "iat": NOW - 100},
]


def _without(members: Json, name: str) -> Json:
    return {other: value for other, value in members.items() if other != name}


def _forged(key: ClusterKey, header: Any, claims: Any, *, mac_key: bytes = b"") -> str:
    text = ".".join(to_base64url(to_json(part)) for part in (header, claims))
    signing = mac_key or key.derive("tallystick.dev/join-key/hs256/v1", 32)
    return f"{text}.{to_base64url(hmac.digest(signing, text.encode(), 'sha256'))}"
