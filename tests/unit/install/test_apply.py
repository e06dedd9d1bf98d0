import asyncio
from typing import Any

import pytest

from tallystick.cli.installing import install_parts
from tallystick.cli.settings import feature_settings
from tallystick.clusterkeys.admission import TARGETS_ARE_CHECKED, TARGETS_PROBE
from tallystick.fleet.admission import DEVICES_PROBE, ONLY_THE_EXCHANGE
from tallystick.install.apply import InstallationError, install
from tallystick.install.installation import Installation
from tallystick.install.manifests import access
from tallystick.install.part import InstallPart
from tallystick.objects.ports import NotFoundError, RefusedError, UnavailableError
from tallystick.pairing.admission import WRITERS_REFUSE_CREATE
from tallystick.pairing.domain.requester import (
    VALIDATION_IS_IN_FORCE,
    VALIDATION_PROBE,
    VALIDATION_REJECTS_FORGED,
    RequesterMode,
)
from tallystick.registry import FEATURES, KINDS
from tallystick.schema.meta import Resource
from tests.virtual_time import in_virtual_time

Json = dict[str, Any]

NEVER = 10_000.0
INSTALLATION = Installation()


def parts(mode: RequesterMode = RequesterMode.POLICY) -> list[InstallPart]:
    return install_parts(INSTALLATION, FEATURES, feature_settings(requester=mode))


class Target:
    """An API server on which what is applied comes into force some seconds later."""

    def __init__(
        self,
        *,
        crds: float = 0,
        writers: float = 0,
        guard: float = 0,
        requester: float = 0,
        stamp: float = 0,
        targets: float = 0,
        devices: float = 0,
    ) -> None:
        self.applied: list[Json] = []
        self.unserved: set[str] = set()
        self.refused: set[str] = set()
        self.stored: set[tuple[str, str]] = set()
        self.deleted: list[tuple[str, str, str, str]] = []
        self.served_from = self.silent_until = 0.0
        self._from = {
            "crds": crds,
            "writers": writers,
            "guard": guard,
            "requester": requester,
            "stamp": stamp,
            "targets": targets,
            "devices": devices,
        }

    def _in_force(self, part: str) -> bool:
        return asyncio.get_running_loop().time() >= self._from[part]

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        if resource.kind != "CustomResourceDefinition":
            if (resource.kind, name) not in self.stored:
                raise NotFoundError("not found")
            return {"metadata": {"name": name, "uid": f"uid-of-{name}", "resourceVersion": "7"}}
        if self._in_force("crds"):
            return {"status": {"conditions": [{"type": t, "status": "True"} for t in ("Established", "NamesAccepted")]}}
        # What a real API server says of a CRD in its first moments.
        return {"status": {"conditions": None}}

    async def create(self, resource: Resource, body: Json, *, dry_run: bool = False) -> Json:
        now = asyncio.get_running_loop().time()
        if now < self.silent_until:
            raise UnavailableError("the API server did not respond")
        if resource.kind == "SelfSubjectReview":
            return {"status": {"userInfo": {"username": "admin"}}}
        assert dry_run, "a probe stores nothing"
        if now < self.served_from:
            raise NotFoundError("the server could not find the requested resource")
        if resource.kind == "MasterToken" and self._in_force("writers"):
            raise RefusedError(f"denied: {WRITERS_REFUSE_CREATE}: only ...")
        if body["metadata"].get("name") == VALIDATION_PROBE and self._in_force("guard"):
            raise RefusedError(f"denied: {VALIDATION_IS_IN_FORCE}")
        if body["metadata"].get("name") == TARGETS_PROBE and self._in_force("targets"):
            raise RefusedError(f"denied: {TARGETS_ARE_CHECKED}")
        if body["metadata"].get("name") == DEVICES_PROBE and self._in_force("devices"):
            raise RefusedError(f"denied: {ONLY_THE_EXCHANGE}")
        return self._stamped(body)

    def _stamped(self, body: Json) -> Json:
        spec = ({"requestedBy": "admin"} if self._in_force("stamp") else {}) | body["spec"]
        if spec.get("requestedBy") != "admin" and self._in_force("requester"):
            raise RefusedError(f"denied: {VALIDATION_REJECTS_FORGED}")
        return body | {"spec": spec}

    async def apply(self, resource: Resource, body: Json) -> Json:
        if resource.kind in self.unserved:
            raise NotFoundError("the server could not find the requested resource")
        if resource.kind in self.refused:
            raise RefusedError("clusterroles is forbidden")
        self.applied.append(body)
        return body

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str = ""
    ) -> None:
        self.deleted.append((resource.kind, name, uid, resource_version))
        self.stored.discard((resource.kind, name))


def silently(_: str) -> None:
    """Say nothing."""


@in_virtual_time
async def test_crds_come_first_then_rights_then_policies() -> None:
    target, said = Target(), []

    await install(target, INSTALLATION, KINDS, parts(), said.append)

    rest = access(INSTALLATION, KINDS, parts())
    assert [body["kind"] for body in target.applied[: len(KINDS)]] == ["CustomResourceDefinition"] * len(KINDS)
    assert target.applied[len(KINDS) :] == rest
    assert said == [
        "waiting until CRD pairingtokens.tallystick.dev is established",
        "waiting until CRD mastertokens.tallystick.dev is established",
        "waiting until CRD connectionconfigurations.tallystick.dev is established",
        "waiting until CRD masterkeys.tallystick.dev is established",
        "waiting until CRD joinkeys.tallystick.dev is established",
        "waiting until CRD devices.tallystick.dev is established",
        "waiting until CRD tokenrotations.tallystick.dev is established",
        "waiting until only the operator can create MasterTokens and write a status",
        "waiting until the validation of requesters and use cases is in force",
        "waiting until a forged requester is rejected",
        "waiting until the mutation of the requester is in force",
        "waiting until targets of join keys are checked",
        "waiting until only the exchange can create Devices",
    ]


@in_virtual_time
async def test_w_an_installation_for_service_accounts_deletes_the_policy_that_sets_the_requester() -> None:
    target = Target()
    requester = [body for body in parts()[0].policies if body["kind"].startswith("Mutating")]
    target.stored = {(body["kind"], body["metadata"]["name"]) for body in requester}
    stored = set(target.stored)

    await install(target, INSTALLATION, KINDS, parts(), silently)
    kept = set(target.stored)
    await install(target, INSTALLATION, KINDS, parts(RequesterMode.SERVICE_ACCOUNT), silently)
    deleted = list(target.deleted)
    await install(target, INSTALLATION, KINDS, parts(RequesterMode.SERVICE_ACCOUNT), silently)

    assert (len(stored), kept, target.stored) == (2, stored, set())
    assert [kind for kind, *_ in deleted] == ["MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"]
    assert {(uid, version) for _, name, uid, version in deleted if uid == f"uid-of-{name}"} == {
        (f"uid-of-{name}", "7") for _, name, *_ in deleted
    }
    assert target.deleted == deleted


@in_virtual_time
async def test_it_returns_only_when_everything_behaves() -> None:
    target = Target(crds=1, writers=3, guard=5, requester=6, stamp=8, targets=9, devices=10)

    await install(target, INSTALLATION, KINDS, parts(), silently)

    assert asyncio.get_running_loop().time() == pytest.approx(10, abs=0.3)


@pytest.mark.parametrize(
    ("late", "missing"),
    [
        ("crds", "CRD pairingtokens.tallystick.dev is established"),
        ("writers", "only the operator can create MasterTokens and write a status"),
        ("guard", "the validation of requesters and use cases is in force"),
        ("requester", "a forged requester is rejected"),
        ("stamp", "the mutation of the requester is in force"),
        ("targets", "targets of join keys are checked"),
        ("devices", "only the exchange can create Devices"),
    ],
)
def test_at_the_deadline_it_says_what_is_missing(late: str, missing: str) -> None:
    @in_virtual_time
    async def attempt() -> None:
        await install(Target(**{late: NEVER}), INSTALLATION, KINDS, parts(), silently)

    with pytest.raises(InstallationError, match=f"after 30 s waiting until {missing}"):
        attempt()


@in_virtual_time
async def test_a_kind_that_is_not_served_yet_and_a_silent_server_are_waited_for() -> None:
    target = Target()
    target.served_from, target.silent_until = 2.0, 1.0

    await install(target, INSTALLATION, KINDS, parts(), silently)

    assert asyncio.get_running_loop().time() == pytest.approx(2, abs=0.3)


@in_virtual_time
async def test_in_service_account_mode_no_stamp_is_waited_for() -> None:
    target = Target(stamp=NEVER)

    await install(target, INSTALLATION, KINDS, parts(RequesterMode.SERVICE_ACCOUNT), silently)

    assert not any("Mutating" in body["kind"] for body in target.applied)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("MutatingAdmissionPolicy", "install with --requester ServiceAccount"),
        ("ValidatingAdmissionPolicy", "use Kubernetes 1.30 or later"),
        (
            "ServiceAccount",
            "ServiceAccount tallystick-controller cannot be created: namespace tallystick-system does not exist",
        ),
    ],
)
def test_what_the_cluster_does_not_serve_is_said_with_what_to_do(kind: str, text: str) -> None:
    target = Target()
    target.unserved = {kind}

    @in_virtual_time
    async def attempt() -> None:
        await install(target, INSTALLATION, KINDS, parts(), silently)

    with pytest.raises(InstallationError, match=text):
        attempt()


def test_a_refusal_is_passed_on_in_the_servers_words() -> None:
    target = Target()
    target.refused = {"ClusterRole"}

    @in_virtual_time
    async def attempt() -> None:
        await install(target, INSTALLATION, KINDS, parts(), silently)

    with pytest.raises(RefusedError, match="clusterroles is forbidden"):
        attempt()
