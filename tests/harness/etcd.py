"""etcd of a control plane, behind the back of the API server: many objects at once, and changes while it is down."""

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tallystick.localplane.certificates import KeyPair
from tallystick.localplane.plane import ControlPlane
from tallystick.localplane.probe import client_context, request
from tallystick.schema.meta import Resource

Json = dict[str, Any]
AT_A_TIME = 100  # etcd takes 128 operations in a transaction


@dataclass(frozen=True, slots=True)
class Etcd:
    """Reads and writes the stored form of custom resources."""

    url: str
    authority: KeyPair
    client: KeyPair

    @classmethod
    def of(cls, plane: ControlPlane) -> "Etcd":
        """Give the etcd of a control plane."""
        return cls(plane.etcd_server, plane.pki.etcd_ca, plane.pki.etcd_client)

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Return an object as it is stored: without its version."""
        found = self._call("range", {"key": _key(resource, namespace, name)})["kvs"][0]
        body: Json = json.loads(base64.b64decode(found["value"]))
        return body

    def put(self, resource: Resource, bodies: Iterable[Json], *, at_a_time: int = AT_A_TIME) -> None:
        """Store objects, whether they exist or not.

        Many of them get one version. An API server gives each write its own: a watch that ends between two objects of
        one version would not see the second. So while a watch is open, write one at a time.
        """
        parts = ({"key": _key_of(resource, body), "value": _encoded(body)} for body in bodies)
        self._write("requestPut", parts, at_a_time)

    def remove(self, resource: Resource, bodies: Iterable[Json], *, at_a_time: int = AT_A_TIME) -> None:
        """Delete objects; see `put`."""
        self._write("requestDeleteRange", ({"key": _key_of(resource, body)} for body in bodies), at_a_time)

    def compact(self) -> None:
        """Forget all that was before now."""
        revision = self._call("range", {"key": _text("/")})["header"]["revision"]
        self._call("compaction", {"revision": revision, "physical": True})

    def _write(self, operation: str, parts: Iterator[Json], at_a_time: int) -> None:
        while some := list(islice(parts, at_a_time)):
            self._call("txn", {"success": [{operation: one} for one in some]})

    def _call(self, what: str, body: Json) -> Json:
        status, answer = request(
            "POST",
            f"{self.url}/v3/kv/{what}",
            client_context(self.authority, self.client),
            body=json.dumps(body),
            seconds=60.0,
        )
        assert status == 200, answer
        decoded: Json = json.loads(answer)
        return decoded


def _key_of(resource: Resource, body: Json) -> str:
    return _key(resource, body["metadata"]["namespace"], body["metadata"]["name"])


def _key(resource: Resource, namespace: str, name: str) -> str:
    return _text(f"/registry/{resource.group}/{resource.plural}/{namespace}/{name}")


def _encoded(body: Json) -> str:
    return _text(json.dumps(body, separators=(",", ":")))


def _text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
