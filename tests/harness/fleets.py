"""Simulated instances that send heartbeats, each with the token that it holds, and what the operator makes of them."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import cycle
from typing import Any

import urllib3

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.install.installation import EXCHANGE, Installation
from tests.harness.api import Api
from tests.harness.connections import tokens_of
from tests.harness.exchange import Exchange, HttpAnswer
from tests.harness.objects import must
from tests.harness.processes import poll

Json = dict[str, Any]

EXCHANGE_USER = Installation().service_account(EXCHANGE)
WATCH_SECONDS = 60.0


@dataclass(slots=True)
class Instance:
    """One instance, and the replica that it is led to."""

    replica: str
    token: str = field(repr=False)


class Fleet:
    """The instances of one ConnectionConfiguration, spread over the replicas of the exchange."""

    def __init__(self, client: Exchange, body: Json, replicas: Sequence[str] = ()) -> None:
        self._client = client
        self._connection = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
        self._replicas = cycle(replicas or (client.url,))
        self._instances: dict[str, Instance] = {}

    def register(self, token: str, *names: str) -> None:
        """Put a token on these instances, new ones or ones that had another."""
        for name in names:
            known = self._instances.get(name)
            self._instances[name] = Instance(known.replica if known else next(self._replicas), token)

    def beat(self, *names: str, replica: str = "") -> dict[str, HttpAnswer]:
        """Send a heartbeat of each of these instances, or of all; return the answers to those that were refused.

        Args:
            names: whose; all where there are none.
            replica: where it leads them this once; each one's own where it is ''.
        """
        return {
            name: answer
            for name in names or tuple(self._instances)
            if (answer := self._send(name, replica)).status != HTTPStatus.NO_CONTENT
        }

    def _send(self, name: str, replica: str) -> HttpAnswer:
        instance = self._instances[name]
        return self._client.at(replica or instance.replica).heartbeat(instance.token, self._connection, name)


def counts(body: Json) -> dict[str, int]:
    """How many instances have last used the Active token of each slot."""
    return {token["slot"]: token.get("instances", 0) for token in tokens_of(body, "Active")}


def grades(body: Json) -> tuple[int, int, int]:
    """How many instances are good, silent for a while, and a problem."""
    there = body["status"].get("instances", {})
    return there.get("good", 0), there.get("warning", 0), there.get("problem", 0)


def outdated(body: Json) -> int:
    found: int = body["status"]["instances"].get("outdated", 0)
    return found


def wait_for_counts(api: Api, body: Json, wanted: dict[str, int], *, seconds: float = 60.0) -> Json:
    """Return the object once its Active tokens are used by so many instances."""

    def reached() -> Json | None:
        found = api.get(body)
        return found if counts(found) == wanted else None

    return must(poll(reached, seconds=seconds))


def wait_for_grades(api: Api, body: Json, wanted: tuple[int, int, int], *, seconds: float = 60.0) -> Json:
    """Return the object once so many of its instances have each grade."""

    def reached() -> Json | None:
        found = api.get(body)
        return found if grades(found) == wanted else None

    return must(poll(reached, seconds=seconds))


def instance_map(replica: str) -> Json:
    """Name the ConfigMap in which a replica stores who is there."""
    metadata = {"name": f"tallystick-instances-{replica}", "namespace": DEFAULT_NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def stored_instances(api: Api, replica: str, body: Json) -> dict[str, list[int]]:
    """Read which instances of a ConnectionConfiguration, as it is on the server, a replica has stored."""
    found = api.find(instance_map(replica)) or {}
    line = (found.get("data") or {}).get(body["metadata"]["uid"], '{"instances": {}}')
    instances: dict[str, list[int]] = json.loads(line)["instances"]
    return instances


def kubectl_warnings(api: Api, *arguments: str) -> list[str]:
    """Run a kubectl command that must succeed, and return the warnings that it prints."""
    command = [api.kubectl_binary, "--kubeconfig", api.kubeconfig, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def removing_slots(body: Json, *left: str) -> list[str]:
    """Write the kubectl command that leaves only these slots."""
    patch = json.dumps({"spec": {"tokens": [{"name": name} for name in left]}})
    meta = body["metadata"]
    return ["patch", "connectionconfiguration", meta["name"], "-n", meta["namespace"], "--type=merge", "-p", patch]


@dataclass(frozen=True, slots=True)
class History:
    """Every version of one object since a moment, as the API server tells of them: no look falls between two."""

    api: Api
    body: Json
    lines: Iterator[bytes]

    @classmethod
    @contextmanager
    def of(cls, api: Api, body: Json) -> Iterator["History"]:
        """Begin with the version that comes after the present one."""
        live = api.get(body)["metadata"]
        plural = f"{body['kind'].lower()}s"
        path = f"/apis/{body['apiVersion']}/namespaces/{live['namespace']}/{plural}"
        query = f"watch=true&fieldSelector=metadata.name={live['name']}&resourceVersion={live['resourceVersion']}"
        url = f"{api.server}{path}?{query}"
        timeout = urllib3.Timeout(connect=10.0, read=WATCH_SECONDS)
        with closing(api.pool.request("GET", url, preload_content=False, timeout=timeout)) as answer:
            assert answer.status == HTTPStatus.OK
            yield cls(api, body, iter(answer))

    def versions(self) -> list[Json]:
        """Return all versions until now. May be asked for again: then those since."""
        marked = self.api.merge(self.body, {"metadata": {"annotations": {"tests/read": self._mark()}}}).must_succeed()
        found: list[Json] = []
        while not found or found[-1]["metadata"]["resourceVersion"] != marked["metadata"]["resourceVersion"]:
            event = json.loads(next(self.lines))
            assert event["type"] == "MODIFIED", event
            found.append(event["object"])
        return found

    def _mark(self) -> str:
        version: str = self.api.get(self.body)["metadata"]["resourceVersion"]
        return version
