"""Install, upgrade, roll back, uninstall and install again, with live tokens, under both Helms."""

import json
from pathlib import Path
from typing import Any

import pytest

from tallystick.registry import KINDS
from tallystick.schema.meta import API_VERSION
from tests.chart.helms import BOTH, HelmError, Wheel
from tests.chart.live.releases import SECRET, Release, Running, fresh_release, newer_chart, tokens
from tests.harness.api import Api
from tests.harness.grants import grant
from tests.harness.objects import a_pairing_token, secret_of, value_of, wait_for_state
from tests.harness.processes import poll

Json = dict[str, Any]

HOME, EDGE = "tallystick-system", "edge"
# One Helm with a certificate of the controller, one with a certificate of one's own.
VALUES: dict[str, Json] = {"4": {}, "3": {"tls": {"mode": "existingSecret", "existingSecret": SECRET}}}
GADGETS = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gadgets.tallystick.dev
  annotations: {helm.sh/resource-policy: keep}
spec:
  group: tallystick.dev
  scope: Namespaced
  names: {kind: Gadget, listKind: GadgetList, plural: gadgets, singular: gadget}
  versions:
    - {name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""


@BOTH
def test_nothing_is_issued_again_and_nothing_is_lost(wheel: Wheel, tmp_path: Path) -> None:
    major = wheel.version[0]
    with fresh_release(wheel, tmp_path, values=VALUES[major]) as release:
        if VALUES[major]:
            release.make_certificate()
        notes = release.install()
        assert f"The issuer of all tokens is https://{release.service}." in notes
        with release.running() as running:
            bearer, master = make_tokens(release, running)
            before = settled(release, running)
            assert running.client.introspect(master, bearer).must_succeed()["active"]

        release.upgrade(newer_chart(tmp_path, "gadgets.yaml", GADGETS), logLevel="DEBUG", controller={"replicas": 3})
        with release.running() as running:
            assert "--log-level=DEBUG" in running.controller.template["spec"]["containers"][0]["args"]
            must_be_the_same(release, running, before)
        gadget = make_gadget(release.api)

        release.roll_back(1)
        with release.running() as running:
            must_be_the_same(release, running, before)
        assert release.api.kubectl("get", "gadgets.tallystick.dev", "--namespace", EDGE, "--output", "name") == gadget

        release.uninstall()
        must_be_uninstalled(release)
        must_be_there(release, before)

        release.install()
        with release.running() as running:
            must_be_the_same(release, running, before)
            assert running.client.introspect(master, bearer).must_succeed()["active"]
            kept = value_of(release.api.get(secret_of(a_pairing_token(EDGE, "kept"))), "token")
            assert running.client.redeem(kept).must_succeed()["access_token"]

        release.uninstall()
        must_be_taken_over_on_purpose(release)


def make_tokens(release: Release, running: Running) -> tuple[str, str]:
    """Issue tokens of each kind; return a bearer that may introspect, and a master token."""
    api = release.api
    api.create({"kind": "Namespace", "metadata": {"name": EDGE}}).must_succeed()
    for name in ("kept", "redeemed"):
        api.create(a_pairing_token(EDGE, name, ttl="24h")).must_succeed()
    metadata = {"name": "shared", "namespace": EDGE}
    connection = {
        "apiVersion": API_VERSION,
        "kind": "ConnectionConfiguration",
        "metadata": metadata,
        "spec": {"deploymentType": "Kubernetes"},
    }
    api.create(connection).must_succeed()
    for name in ("kept", "redeemed"):
        wait_for_state(api, a_pairing_token(EDGE, name), "Active")
    token = value_of(api.get(secret_of(a_pairing_token(EDGE, "redeemed"))), "token")
    master = running.client.redeem(token).must_succeed()["access_token"]
    api.create({"kind": "ServiceAccount", "metadata": {"name": "verifier", "namespace": EDGE}}).must_succeed()
    grant(api, EDGE, f"system:serviceaccount:{EDGE}:verifier", "tallystick-introspect")
    return api.request_token(EDGE, "verifier", running.client.issuer), master


def settled(release: Release, running: Running) -> dict[str, str]:
    """Return what the tokens are, once the controller has seen all of them and writes no more."""
    before: dict[str, str] = {}

    def is_settled() -> bool:
        nonlocal before
        last, before = before, tokens(release.api, (HOME, EDGE))
        waits = [
            body["metadata"]["name"]
            for kind in KINDS
            for namespace in (HOME, EDGE)
            for body in release.api.find_all(kind.resource.kind, namespace)
            if body.get("status", {}).get("observedGeneration") != body["metadata"]["generation"]
        ]
        return not waits and last == before

    poll(is_settled)
    assert {"PairingToken", "MasterToken", "ConnectionConfiguration", "JoinKey", "MasterKey", "Secret"} == {
        name.partition(" ")[0] for name in before
    }
    assert sorted(running.issued) == ["kept", "redeemed", "shared"]
    return before


def must_be_the_same(release: Release, running: Running, before: dict[str, str]) -> None:
    """A later token shows that the controller has looked at the others; none of them has changed."""
    number = len(list(release.folder.glob("*.log")))
    later = a_pairing_token(EDGE, f"later-{number}")
    release.api.create(later).must_succeed()
    wait_for_state(release.api, later, "Active")
    token = value_of(release.api.get(secret_of(later)), "token")
    assert running.client.redeem(token).must_succeed()["access_token"]
    release.api.delete(later).must_succeed()

    must_be_there(release, before)
    assert running.issued == [later["metadata"]["name"]]


def must_be_there(release: Release, before: dict[str, str]) -> None:
    after = tokens(release.api, (HOME, EDGE))
    assert {name: after.get(name) for name in before} == before


def make_gadget(api: Api) -> str:
    body = {"apiVersion": API_VERSION, "kind": "Gadget", "metadata": {"name": "one", "namespace": EDGE}}
    poll(lambda: "gadgets" in api.kubectl("api-resources", "--api-group", "tallystick.dev", "--output", "name"))
    api.kubectl("create", "--filename", "-", stdin=json.dumps(body))
    return "gadget.tallystick.dev/one\n"


def must_be_uninstalled(release: Release) -> None:
    """CRDs, tokens and Secrets stay; all else is gone."""
    kinds = "deployments,services,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets"
    selector = ("--selector", f"app.kubernetes.io/instance={release.name}", "--output", "name")
    cluster = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
    assert release.api.kubectl("get", kinds, "--all-namespaces", *selector) == ""
    assert release.api.kubectl("get", f"{cluster},mutatingadmissionpolicies", *selector) == ""
    crds = release.api.kubectl("get", "crds", *selector).split()
    assert len(crds) == len(KINDS)


def must_be_taken_over_on_purpose(release: Release) -> None:
    with pytest.raises(HelmError, match="invalid ownership metadata"):
        release.install(name="another")

    release.install("--take-ownership", name="another")

    owned = release.api.kubectl("get", "crds", "--output", "json")
    assert json.loads(owned)["items"][0]["metadata"]["annotations"]["meta.helm.sh/release-name"] == "another"
