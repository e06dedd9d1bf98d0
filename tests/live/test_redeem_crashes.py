"""A replica that dies in the middle of a redemption spends the token once, and never for two (design.md, S14)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.install.installation import Installation
from tests.harness.exchange import Replica, replica
from tests.harness.pairing_site import INVALID_TEXT, USED_TEXT, Site, claims_of
from tests.harness.processes import poll
from tests.harness.system import System

AFTER_SWAP = "after:replace_status:pairingtokens"
BEFORE_CREATE = "before:create:mastertokens"
AFTER_CREATE = "after:create:mastertokens"
at_every_failpoint = pytest.mark.parametrize("failpoint", [AFTER_SWAP, BEFORE_CREATE, AFTER_CREATE])


@pytest.fixture
def doomed(system: System, tmp_path: Path, failpoint: str) -> Iterator[Replica]:
    """A replica that kills itself at the failpoint."""
    with replica(system, tmp_path / "exchange", failpoint=failpoint) as running:
        yield running


@at_every_failpoint
def test_after_a_crash_the_same_key_gets_its_token_and_nobody_else_does(site: Site, doomed: Replica) -> None:
    key, other = SigningKey.generate("ES256"), SigningKey.generate("ES256")
    token = site.issue()
    lost = site.exchange.at(doomed.url).redeem(token, key=key)
    poll(lambda: doomed.ended)

    refused = site.exchange.redeem(token, key=other)
    resumed = [site.exchange.redeem(token, key=key).must_succeed() for _ in range(2)]

    assert lost.status == 0
    assert refused.description == USED_TEXT.format(claims_of(token)["jti"])
    assert resumed[0]["access_token"] == resumed[1]["access_token"]
    assert site.is_active(resumed[0]["access_token"])
    (master,) = site.api.find_all("MasterToken", site.namespace)
    assert master["spec"]["tokenID"] == resumed[0]["token_id"]
    assert master["spec"]["claimID"] == site.api.get(site.pairing_token())["status"]["claim"]["claimID"]


@at_every_failpoint
def test_after_a_crash_a_token_without_a_key_is_spent_and_its_claim_stands(
    site: Site, doomed: Replica, failpoint: str
) -> None:
    token = site.issue()
    lost = site.exchange.at(doomed.url).redeem(token)
    poll(lambda: doomed.ended)
    claim = site.api.get(site.pairing_token())["status"]["claim"]

    refused = [site.exchange.redeem(token), site.exchange.redeem(token, key=SigningKey.generate("ES256"))]

    text = USED_TEXT.format(claims_of(token)["jti"])
    assert lost.status == 0
    assert [(a.status, a.description) for a in refused] == [(400, text)] * 2
    assert site.api.get(site.pairing_token())["status"]["claim"] == claim
    assert len(site.api.find_all("MasterToken", site.namespace)) == (1 if failpoint == AFTER_CREATE else 0)


@pytest.mark.parametrize("failpoint", [AFTER_SWAP])
def test_a_forged_record_of_the_claim_is_not_signed(
    site: Site, doomed: Replica, system: System, installed: Installation
) -> None:
    key, token = SigningKey.generate("ES256"), site.issue()
    site.exchange.at(doomed.url).redeem(token, key=key)
    poll(lambda: doomed.ended)
    forged = _record_with_more(site, system)
    # Only the exchange may make one (S2); so this one stands for a faulty exchange.
    site.api.as_user(installed.service_account("exchange")).create(forged).must_succeed()

    answer = site.exchange.redeem(token, key=key)

    assert (answer.status, answer.description) == (400, INVALID_TEXT)
    poll(lambda: site.events("MasterTokenConflict"))


def _record_with_more(site: Site, system: System) -> dict[str, Any]:
    """Build the MasterToken of the claim, with a wider scope."""
    pairing = site.api.get(site.pairing_token())
    claim, meta = pairing["status"]["claim"], pairing["metadata"]
    year = datetime.fromisoformat(claim["time"]) + timedelta(days=365)
    spec = {
        "pairingTokenRef": {"name": meta["name"], "uid": meta["uid"]},
        "serial": 1,
        "claimID": claim["claimID"],
        "tokenID": claim["masterTokenID"],
        "kid": claim["kid"],
        "useCase": "mission-control",
        "scope": [*claim["scope"], "everything"],
        "audience": [system.up.url],
        "subject": pairing["status"]["subject"],
        "keyThumbprint": claim["clientKeyThumbprint"],
        "issuedTime": claim["time"],
        "expirationTime": year.isoformat().replace("+00:00", "Z"),
        "deletionPolicy": "Revoke",
    }
    return site.master_token(claim["masterTokenID"]) | {"spec": spec}
