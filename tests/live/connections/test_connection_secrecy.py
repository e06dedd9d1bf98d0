"""The value of a connection token is in its Secret and nowhere else: no object, event, log, audit log or metric (R18).

A life with adds, damage, misuse and ends is lived; then all that was written by then is searched. The full search, with
controls for every sink, is in test_issue_secrecy.py.
"""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tallystick.install.installation import CONTROLLER
from tests.harness.canary import Hit, Needle, Sinks, files, objects, of_token, search
from tests.harness.connections import (
    a_connection,
    connected,
    connection_secret_of,
    set_slots,
    slots,
    token_in,
    tokens_of,
    wait_for_active,
)
from tests.harness.objects import wait_for_reason
from tests.harness.pairing_site import Site
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import System


@pytest.fixture
def needles() -> set[Needle]:
    return set()


def stored(site: Site, instance: str) -> bool:
    """Whether the exchange has stored that an instance was there."""
    return instance in site.api.kubectl("get", "configmaps", "-n", "tallystick-system", "-o", "json")


def everything(site: Site, system: System, holders: set[tuple[str, str]]) -> Sinks:
    up, data = system.up, system.plane.data_dir
    found = objects(site.api, holders)
    found |= {
        name: content
        for name, content in files(up.folder, data, leave_out=up.folder / "run").items()
        if not Path(name).is_relative_to(data / "etcd")
    }
    found["exchange /metrics"] = site.exchange.page("/metrics")
    found["controller /metrics"] = urllib3.request(
        "GET", f"{up.health_url(CONTROLLER)}/metrics", retries=False, timeout=60.0
    ).data
    return found


def lives(site: Site) -> Iterator[tuple[str, str]]:
    """Live, and yield each token by a name."""
    api, body = site.api, a_connection(site.namespace, tokens=slots("old"))
    where, instance = f"{site.namespace}/dc-west", f"press-of-{site.namespace}"
    connected(api, body)
    yield "old", (old := token_in(api, body))
    set_slots(api, body, "old", "new").must_succeed()
    wait_for_active(api, body, ["old", "new"])
    yield "new", (new := token_in(api, body))

    # Used and misused: where it belongs, in another type, elsewhere, where no token belongs, and damaged.
    assert site.exchange.heartbeat(old, where, instance).status == 204
    assert site.exchange.heartbeat(old, where, instance, deployment_type="ReverseProxy").status >= 400
    assert site.exchange.heartbeat(new, f"{site.namespace}/another").status == 404
    assert site.exchange.heartbeat(new, where, instance=new).status == 400
    assert site.exchange.redeem(new).status == 400
    assert site.exchange.revoke(new).status == 400
    assert site.exchange.introspect(new, site.bearer, deployment_type="Kubernetes").must_succeed()["active"]
    assert site.exchange.introspect(new, new, deployment_type="Kubernetes").status == 401
    assert site.exchange.get(f"/v1/connections/{where}/heartbeat?token={new}").status >= 400
    forged = base64.b64encode(old.encode()).decode()
    api.merge(connection_secret_of(body), {"data": {"token": forged}}).must_succeed()
    poll(lambda: token_in(api, body) == new)
    poll(lambda: stored(site, instance))

    # Ended by hand, by the licence, and with the object.
    set_slots(api, body, "new").must_succeed()
    wait_for_active(api, body, ["new"])
    poll(lambda: site.exchange.heartbeat(old, where).status == 401)
    licensed = a_connection(site.namespace, "licensed")
    issued = tokens_of(connected(api, licensed))[0]["issuedTime"]
    yield "licensed", token_in(api, licensed)
    api.merge(licensed, {"spec": {"licenseExpiresAt": issued}}).must_succeed()
    wait_for_reason(api, licensed, "LicenseExpired")
    gone = a_connection(site.namespace, "gone")
    connected(api, gone)
    yield "gone", token_in(api, gone)
    api.delete(gone).must_succeed()
    poll(lambda: site.events("ConfigurationDeleted"))


def test_r18_no_value_of_a_connection_token_is_written_anywhere_but_into_its_secret(
    site: Site, system: System, needles: set[Needle], figure: Figure
) -> None:
    tokens = dict(lives(site))
    for name, token in tokens.items():
        needles |= of_token(name, token)
    holders = {(site.namespace, f"{name}-connection-token") for name in ("dc-west", "gone")}

    sinks = everything(site, system, holders)
    hits = search(sinks, needles)
    with_values = search({"secrets": objects(site.api, ())["/api/v1 secrets"]}, needles)

    figure(f"{len(tokens)} connection tokens as {len(needles)} needles in {len(sinks)} sinks: {len(hits)} hits")
    assert hits == set()
    # With its values the same search finds what is in the Secret, or it would prove nothing.
    assert Hit("secrets", "new") in with_values
    assert {hit.secret for hit in with_values} <= {"new", "gone"}, "what has ended has left its Secret"
    # What was looked for was told of everywhere by its id alone.
    for sink in ("audit-controller.jsonl", "audit-exchange.jsonl"):
        assert any(name.endswith(sink) and b"connection" in content.lower() for name, content in sinks.items())
    assert f"press-of-{site.namespace}".encode() in sinks["/api/v1 configmaps"]
