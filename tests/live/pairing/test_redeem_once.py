"""A pairing token yields its master token once, however often and wherever it is presented (R80, R84, R91)."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.install.installation import Installation
from tests.harness.audit_trail import Trail
from tests.harness.exchange import ACCESS_TOKEN_TYPE, Exchange, HttpAnswer, Replica
from tests.harness.objects import must, read_token, secret_of, wait_until_gone
from tests.harness.pairing_site import INVALID_TEXT, USED_TEXT, Site, claims_of
from tests.harness.processes import poll
from tests.harness.system import System

A_YEAR = 31_536_000
EXCHANGE = Installation().service_account("exchange")


def test_the_answer_is_that_of_rfc_8693(site: Site) -> None:
    answer = site.exchange.redeem(site.issue(), requested_token_type=ACCESS_TOKEN_TYPE)

    body = dict(answer.body)
    token, expires_in = body.pop("access_token"), body.pop("expires_in")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert A_YEAR - 5 <= expires_in <= A_YEAR
    assert body == {
        "issued_token_type": ACCESS_TOKEN_TYPE,
        "token_type": "Bearer",
        "scope": "mission-control:admin",
        "token_id": claims_of(token)["jti"],
    }


def test_the_master_token_says_what_was_computed_and_nothing_else(site: Site, system: System) -> None:
    pairing = claims_of(site.issue())

    master = site.exchange.redeem(site.issued()).must_succeed()["access_token"]

    read = read_token(master)
    claims = dict(read.claims)
    recorded = site.api.get(site.master_token(claims["jti"]))
    assert read.header == {"alg": "ES256", "typ": "at+jwt", "kid": recorded["spec"]["kid"]}
    assert claims.pop("exp") == claims["iat"] + A_YEAR
    assert abs(claims.pop("iat") - system.clock.now().timestamp()) < 10
    assert claims == {
        "iss": system.up.url,
        "sub": "tallystick-admin",
        "aud": system.up.url,
        "scope": "mission-control:admin",
        "jti": recorded["spec"]["tokenID"],
        "tallystick": {
            "kind": "MasterToken",
            "ns": site.namespace,
            "name": recorded["metadata"]["name"],
            "uid": recorded["metadata"]["uid"],
            "serial": 1,
        },
    }
    assert claims["sub"] == pairing["sub"]


def test_the_trust_is_recorded_in_both_objects(site: Site) -> None:
    answer = site.exchange.redeem(site.issue(), client_id="https://mc.example.net").must_succeed()

    pairing = must(poll(lambda: _with_condition(site, "PairingToken", answer)))
    master = must(poll(lambda: _with_condition(site, "MasterToken", answer)))
    redemption = pairing["status"]["redemption"]
    owner = {"name": "site-a", "uid": pairing["metadata"]["uid"]}
    assert pairing["status"]["state"] == "Used"
    assert redemption["masterTokenID"] == answer["token_id"]
    assert redemption["clientID"] == "https://mc.example.net"
    assert pairing["status"]["usedTime"] == redemption["time"]
    assert [{key: reference[key] for key in owner} for reference in master["metadata"]["ownerReferences"]] == [owner]
    assert (
        master["spec"].items()
        >= {
            "pairingTokenRef": owner,
            "serial": 1,
            "redemptionID": redemption["redemptionID"],
            "tokenID": answer["token_id"],
            "useCase": "mission-control",
            "scope": ["mission-control:admin"],
            "subject": "tallystick-admin",
            "clientID": "https://mc.example.net",
            "issuedTime": redemption["time"],
            "deletionPolicy": "Revoke",
        }.items()
    )


def _with_condition(site: Site, kind: str, answer: dict[str, Any]) -> dict[str, Any] | None:
    body = site.pairing_token() if kind == "PairingToken" else site.master_token(answer["token_id"])
    found = site.api.get(body)
    conditions = {c["type"]: (c["status"], c["reason"]) for c in found.get("status", {}).get("conditions", [])}
    wanted = {"Ready": ("True", "Paired" if kind == "PairingToken" else "Active")}
    return found if conditions == wanted else None


def test_a_redemption_costs_two_writes_of_the_exchange_and_then_two_of_the_controller(
    site: Site, system: System
) -> None:
    trail, token = Trail(system.plane.audit_log), site.issue()
    before = trail.mark()

    answer = site.exchange.redeem(token).must_succeed()

    wait_until_gone(site.api, secret_of(site.pairing_token()))
    master = f"mtok-{answer['token_id']}"
    of_controller = trail.settled(site.api, site.namespace, since=before)
    of_exchange = trail.writes(site.namespace, since=before, user=EXCHANGE)
    assert of_exchange == ["update pairingtokens/status site-a", f"create mastertokens {master}"]
    assert sorted(of_controller) == ["delete secrets site-a-pairing-token", f"update mastertokens/status {master}"]


def test_nothing_of_the_master_token_is_stored(site: Site) -> None:
    answer = site.paired()

    wait_until_gone(site.api, secret_of(site.pairing_token()))
    stored = [*site.api.find_all("Secret", site.namespace), site.api.get(site.pairing_token())]
    stored += [site.api.get(site.master_token(answer["token_id"]))]
    signature = answer["access_token"].rpartition(".")[2]
    assert signature not in str(stored)


def test_no_token_is_in_a_log_of_the_exchange(site: Site, system: System) -> None:
    key, pairing, unused = SigningKey.generate("ES256"), site.issue(), site.issue("site-b")
    proof = site.exchange.proof(key)
    master = site.exchange.redeem(pairing, proof=proof).must_succeed()["access_token"]
    site.exchange.redeem(pairing)
    site.exchange.redeem(f"{unused}x")
    site.exchange.introspect(master, site.bearer)
    site.exchange.introspect(master, pairing)
    site.exchange.revoke(unused)
    site.exchange.post(f"/oauth2/revoke?token={master}", {"token": master})

    logs = "".join((system.up.folder / name).read_text() for name in ("exchange.log", "audit-exchange.jsonl"))
    audited = [json.loads(line) for line in logs.splitlines() if f'"{site.namespace}"' in line]
    said = {(line["action"], line["outcome"]) for line in audited}
    assert {("redeem", "ok"), ("redeem", "refused"), ("introspect", "active"), ("revoke", "ok")} <= said
    secrets = [part for token in (pairing, unused, master, proof, site.bearer) for part in token.split(".")[1:]]
    assert [secret for secret in secrets if secret in logs] == []


def test_a_second_use_is_refused_with_its_text_and_reported_once(site: Site) -> None:
    token = site.issue()
    site.exchange.redeem(token).must_succeed()

    answers = [site.exchange.redeem(token) for _ in range(8)]

    text = USED_TEXT.format(claims_of(token)["jti"])
    assert [(a.status, a.body) for a in answers] == [
        (400, {"error": "invalid_request", "error_description": text})
    ] * len(answers)
    poll(lambda: site.events("ReplayDetected"))
    assert len(site.events("ReplayDetected")) == 1
    assert len(site.api.find_all("MasterToken", site.namespace)) == 1


def test_a_reuse_does_not_end_the_trust(site: Site) -> None:
    token = site.issue()
    master = site.exchange.redeem(token).must_succeed()["access_token"]

    site.exchange.redeem(token)

    assert site.is_active(master)
    assert site.state_of() == ("Used", 1)


def test_of_many_who_redeem_at_once_at_two_replicas_one_succeeds(site: Site, second_replica: Replica) -> None:
    token = site.issue()
    clients = [site.exchange, site.exchange.at(second_replica.url)] * 10

    with ThreadPoolExecutor(len(clients)) as threads:
        answers: list[HttpAnswer] = list(threads.map(lambda client: client.redeem(token), clients))

    refused = [answer for answer in answers if answer.status != 200]
    assert len(refused) == len(answers) - 1
    assert {(a.status, a.description) for a in refused} == {(400, USED_TEXT.format(claims_of(token)["jti"]))}
    assert len(site.api.find_all("MasterToken", site.namespace)) == 1


def test_an_expired_token_is_refused_with_the_time_at_which_it_expired(site: Site, system: System) -> None:
    token = site.issue()
    expiry = site.api.get(site.pairing_token())["status"]["expirationTime"]

    system.clock.advance(datetime.fromisoformat(expiry) - system.clock.now())

    claims = claims_of(token)
    answer = site.exchange.redeem(token)
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")
    assert answer.description == f"pairing token {claims['jti']} expired at {expiry}"
    assert not site.is_active(token)
    assert site.api.find_all("MasterToken", site.namespace) == []


@pytest.mark.parametrize("field", ["signature", "claims", "nothing"])
def test_what_was_not_issued_is_refused_with_one_text_and_costs_no_call(site: Site, field: str) -> None:
    header, claims, signature = site.issue().split(".")
    altered = {
        "signature": f"{header}.{claims}.{signature[::-1]}",
        "claims": f"{header}.{claims[::-1]}.{signature}",
        "nothing": "not-a-token",
    }
    before, gets = _calls_of_redemption(site.exchange), site.exchange.api_calls("get")

    answers = [site.exchange.redeem(altered[field]) for _ in range(5)]

    assert {(a.status, a.body["error"], a.description) for a in answers} == {(400, "invalid_request", INVALID_TEXT)}
    assert _calls_of_redemption(site.exchange) == before
    assert site.exchange.api_calls("get") <= gets + 1


def _calls_of_redemption(exchange: Exchange) -> tuple[float, ...]:
    """All calls but the GETs, of which the keyring takes one now and then."""
    return tuple(exchange.api_calls(verb) for verb in ("create", "replace_status", "review", "list"))


def test_a_source_that_guesses_is_slowed_down_and_no_other(site: Site, system: System) -> None:
    up, token = system.up, site.issue()
    with Exchange.connect(up.url, issuer=up.url, ca_file=up.ca_file, clock=system.clock) as guesser:
        answers = [guesser.redeem("garbage") for _ in range(40)]

    limited = [answer for answer in answers if answer.status == 429]
    assert {answer.status for answer in answers} == {400, 429}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in limited)
    assert site.exchange.redeem(token).status == 200


def test_a_master_token_is_no_pairing_token(site: Site) -> None:
    master = site.paired()["access_token"]

    answer = site.exchange.redeem(master)

    assert (answer.status, answer.body["error"], answer.description) == (400, "invalid_request", INVALID_TEXT)
