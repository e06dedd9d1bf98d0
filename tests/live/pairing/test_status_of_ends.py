"""The status of an object whose token the exchange rejects says so, while the object is still there."""

from typing import Any

import pytest

from tests.harness.objects import condition, secret_of, wait_for_reason, wait_until_gone
from tests.harness.pairing_site import Site

Json = dict[str, Any]

HELD = {"metadata": {"finalizers": ["example.com/held"]}}
LET_GO = {"metadata": {"finalizers": None}}


def test_q_a_pairing_token_says_that_its_master_token_is_revoked_or_gone(site: Site) -> None:
    bodies = {name: site.pairing_token(name) for name in ("revoked", "held")}
    records = {name: site.master_token(site.paired(name)["token_id"]) for name in bodies}
    for body in bodies.values():
        wait_for_reason(site.api, body, "Paired")
    site.api.merge(records["held"], HELD).must_succeed()

    site.api.merge(records["revoked"], {"spec": {"revoked": True}}).must_succeed()
    site.api.delete(records["held"]).must_succeed()

    ended = {name: wait_for_reason(site.api, body, "MasterTokenRevoked") for name, body in bodies.items()}
    held = wait_for_reason(site.api, records["held"], "Deleted")
    site.api.merge(records["held"], LET_GO).must_succeed()
    assert [(one["status"]["state"], condition(one, "Ready")) for one in ended.values()] == [("Used", {})] * 2
    assert condition(ended["revoked"], "Ended")["message"] == (
        f"the token was redeemed, and MasterToken {records['revoked']['metadata']['name']} is revoked; "
        "raise spec.serial to 2 to pair again"
    )
    assert held["status"]["state"] == "Revoked"


@pytest.mark.parametrize(("policy", "state"), [("Revoke", "Revoked"), ("Retain", "Expired")])
def test_q_a_pairing_token_that_a_finalizer_holds_says_that_it_cannot_be_redeemed(
    site: Site, policy: str, state: str
) -> None:
    body = site.pairing_token(masterToken={"deletionPolicy": policy})
    site.issue(masterToken={"deletionPolicy": policy})
    site.api.merge(body, HELD).must_succeed()

    site.api.delete(body).must_succeed()

    held = wait_for_reason(site.api, body, "Deleted")
    wait_until_gone(site.api, secret_of(body))
    assert (held["status"]["state"], condition(held, "Ready")["status"]) == (state, "False")
    assert "can be redeemed" not in condition(held, "Ready")["message"]
    site.api.merge(body, LET_GO).must_succeed()
    wait_until_gone(site.api, body)


def test_w_kubectl_get_shows_the_reason_of_an_end(site: Site) -> None:
    site.issue()
    site.api.merge(site.pairing_token(), {"spec": {"revoked": True}}).must_succeed()

    wait_for_reason(site.api, site.pairing_token(), "Revoked")

    header, row = site.api.kubectl("get", "ptok", "-n", site.namespace).splitlines()
    assert header.split() == ["NAME", "STATE", "DEVICES", "ROTATION", "EXPIRES", "REASON", "AGE"]
    assert (row.split()[1], row.split()[3]) == ("Revoked", "Revoked")
