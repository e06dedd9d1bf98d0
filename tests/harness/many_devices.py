"""Thousands of Devices in seconds: one goes through the API server, and etcd gets its likes."""

import copy
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.domain.copies import copy_id, device_name
from tallystick.fleet.feature import KINDS
from tallystick.install.crds import crds
from tallystick.kube.client import KubeCluster
from tallystick.localplane.plane import ControlPlane
from tallystick.objects.ports import ClusterError
from tallystick.runtime.clock import SystemClock
from tallystick.schema.meta import API_VERSION, Resource
from tallystick.schema.times import rfc3339
from tests.harness.etcd import Etcd

Json = dict[str, Any]

DEVICE = tuple(kind for kind in KINDS if kind.resource == DEVICES)
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
NAMESPACE = "default"
TOKEN_UID = "9a0c1f0e-0000-4000-8000-000000000000"


async def first_device(cluster: KubeCluster) -> Json:
    """Install the CRD of Device, and create the first one as the exchange leaves it after a check-in."""
    for body in crds(DEVICE):
        await cluster.create(CRDS, body)
    created = await _as_soon_as_served(cluster, _new("first"))
    now = rfc3339(datetime.now(UTC))
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Active",
        "message": "the device uses its copy of generation 1",
        "lastTransitionTime": now,
        "observedGeneration": 1,
    }
    status = {
        "observedGeneration": 1,
        "state": "Active",
        "generation": 1,
        "kid": "k" * 43,
        "tokenID": copy_id(created["metadata"]["uid"], 1),
        "provedTime": now,
        "lastSeenTime": now,
        "conditions": [ready],
    }
    return await cluster.replace_status(DEVICES, created | {"status": status})


async def _as_soon_as_served(cluster: KubeCluster, body: Json) -> Json:
    while True:
        try:
            return await cluster.create(DEVICES, body)
        except ClusterError:
            await SystemClock().pause(0.1)


def likes_of(stored: Json, numbers: Iterable[int]) -> Iterator[Json]:
    """Yield Devices like a stored one, each with its own name, uid and values."""
    for number in numbers:
        body, new = copy.deepcopy(stored), _new(str(number))
        body["spec"] = new["spec"]
        uid = str(uuid.uuid4())
        body["metadata"] |= {"name": new["metadata"]["name"], "uid": uid}
        body["status"]["tokenID"] = copy_id(uid, 1)
        yield body


def add_devices(plane: ControlPlane, first: Json, numbers: Iterable[int]) -> list[Json]:
    """Store so many Devices like the first one, and return them."""
    etcd = Etcd.of(plane)
    bodies = list(likes_of(etcd.get(DEVICES, NAMESPACE, first["metadata"]["name"]), numbers))
    etcd.put(DEVICES, bodies)
    return bodies


def _new(number: str) -> Json:
    name = device_name(TOKEN_UID, number)
    return {
        "apiVersion": API_VERSION,
        "kind": DEVICES.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "pairingTokenRef": {"name": "cams", "uid": TOKEN_UID},
            "serial": 1,
            "generation": 1,
            "kid": "k" * 43,
            "projectKey": "fleet01",
            "keyThumbprint": f"{name[2:]}{'A' * 43}"[:43],
            "displayName": f"cam-{number}",
        },
    }
