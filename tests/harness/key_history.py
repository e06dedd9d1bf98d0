"""What was ever to be seen of join keys: every stored version of their sealed copies, opened by another library."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import urllib3
from jwcrypto import jwe, jwk
from jwcrypto.common import JWException

from tallystick.clusterkeys.domain.keys import Purpose
from tests.harness.api import Api
from tests.harness.cluster_keys import a_secret, fingerprint

Json = dict[str, Any]

SEALED_TYPE = "tallystick.dev/sealed-join-key"
WATCH_SECONDS = 60.0


def values_of(secret: Json) -> dict[str, str]:
    """Read the values of a Secret."""
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}


def opened(text: str, master_key: str) -> str | None:
    """Open a sealed join key with a master key in hexadecimal; None if it does not open."""
    found = jwe.JWE()
    found.allowed_algs = ["dir", "A128GCM", "A256GCM"]
    key = base64.urlsafe_b64encode(bytes.fromhex(master_key)).rstrip(b"=").decode()
    try:
        found.deserialize(text, jwk.JWK(kty="oct", k=key))
    except JWException:
        return None
    payload: bytes = found.payload
    return payload.decode()


def keys_sealed_in(secret: Json, *master_keys: str) -> dict[str, str]:
    """Return the fingerprint of the join key in each text of a sealed copy, '' where no master key opens it."""
    found = {}
    for name, text in values_of(secret).items():
        keys = [key for master_key in master_keys if (key := opened(text, master_key)) is not None]
        assert len(keys) <= 1, "a text opens under one master key"
        found[name] = fingerprint(keys[0], Purpose.JOIN) if keys else ""
    return found


@dataclass(frozen=True, slots=True)
class SealedHistory:
    """Every version of all sealed copies of a namespace since a moment: no look falls between two."""

    api: Api
    namespace: str
    lines: Iterator[bytes]

    @classmethod
    @contextmanager
    def of(cls, api: Api, namespace: str) -> Iterator["SealedHistory"]:
        """Begin now."""
        marker = api.create(_marker(namespace, "begin")).must_succeed()
        version = marker["metadata"]["resourceVersion"]
        query = f"watch=true&fieldSelector=type={SEALED_TYPE}&resourceVersion={version}"
        url = f"{api.server}/api/v1/namespaces/{namespace}/secrets?{query}"
        timeout = urllib3.Timeout(connect=10.0, read=WATCH_SECONDS)
        with closing(api.pool.request("GET", url, preload_content=False, timeout=timeout)) as answer:
            assert answer.status == HTTPStatus.OK
            yield cls(api, namespace, iter(answer))

    def versions(self) -> list[Json]:
        """Return all versions until now, the last one of each that was deleted among them. Can be called once."""
        end = self.api.create(_marker(self.namespace, "end")).must_succeed()["metadata"]["uid"]
        found: list[Json] = []
        while True:
            event = json.loads(next(self.lines))
            assert event["type"] in {"ADDED", "MODIFIED", "DELETED"}, event
            if event["object"]["metadata"]["uid"] == end:
                return found
            found.append(event["object"])


def copies_of(api: Api, uid: str, *namespaces: str) -> set[str]:
    """Name the Secrets that say that they are of this JoinKey."""
    selector = f"tallystick.dev/uid={uid}"
    secrets = [one for where in namespaces for one in api.find_all("Secret", where, labelSelector=selector)]
    return {f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in secrets}


def join_keys_in(secrets: Mapping[str, Json]) -> dict[str, tuple[str, str]]:
    """Return the fingerprints of the keys that copies hold: the one that signs, and the accepted one or ''."""

    def of(secret: Json, key: str) -> str:
        value = values_of(secret).get(key)
        return fingerprint(value, Purpose.JOIN) if value is not None else ""

    return {name: (of(secret, "join-key"), of(secret, "join-key-accepted")) for name, secret in secrets.items()}


def _marker(namespace: str, name: str) -> Json:
    return a_secret(namespace, name, SEALED_TYPE)
