"""Whatever is sent to the exchange, it answers as its published document says, and nothing breaks (FI-17)."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.harness.connections import a_connection, connected, token_in
from tests.harness.exchange import replica
from tests.harness.fuzzing import Campaign, LiveTokens, fuzz, seed_of
from tests.harness.objects import a_pairing_token
from tests.harness.pairing_site import Site
from tests.harness.proofs import Figure
from tests.harness.system import System

# Answers that only a request gets which went past the first checks; a fuzzer that misses one has been shut out.
DEEP_CODES = {
    "deployment_type_mismatch",
    "invalid_dpop_proof",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "invalid_token",
    "not_found",
    "unsupported_token_type",
}
# Taken, malformed, not good, of another type, of another object.
HEARTBEAT_ANSWERS = {"204", "400", "401", "403", "404"}


@pytest.mark.proof(gate=100, soak=1500)
def test_the_exchange_answers_as_its_document_says(
    system: System, site: Site, tmp_path: Path, pytestconfig: pytest.Config, rounds: int, figure: Figure
) -> None:
    live, seed = _live_tokens(site), seed_of(pytestconfig)

    with replica(system, tmp_path / "exchange") as own:
        client = site.exchange.at(own.url)
        campaign = fuzz(client, system, tmp_path, live=live, examples=rounds, seed=seed)
        figure(_summary(campaign, seed))
        ready = client.ready().status

    assert campaign.passed, f"FUZZ_SEED={seed} replays this\n{campaign.report}"
    assert ready == HTTPStatus.OK
    assert campaign.answered(HTTPStatus.TOO_MANY_REQUESTS) < campaign.requests / 20
    assert campaign.codes.keys() >= DEEP_CODES
    assert campaign.heartbeats.keys() >= HEARTBEAT_ANSWERS
    assert campaign.redeemed > 0
    assert _errors_in(tmp_path / "exchange" / "exchange.log") == []
    assert _broken_lines(tmp_path / "exchange" / "audit.jsonl", live.all) == []


def _live_tokens(site: Site) -> LiveTokens:
    """Tokens in every state: some that can be redeemed, one that was, its master token, and one that is revoked."""
    redeemable = [site.issue(name, ttl="1h") for name in ("fresh-1", "fresh-2", "fresh-3")]
    used, revoked = (site.issue(name, ttl="1h") for name in ("used", "revoked"))
    master = site.exchange.redeem(used).must_succeed()["access_token"]
    site.api.merge(a_pairing_token(site.namespace, "revoked"), {"spec": {"revoked": True}}).must_succeed()
    return LiveTokens(site.bearer, redeemable, [used, revoked, master], _connections(site))


def _connections(site: Site) -> dict[str, str]:
    """Connection tokens by the paths of their objects: good ones, and one that is revoked."""
    objects = {name: connected(site.api, a_connection(site.namespace, name)) for name in ("good-1", "good-2", "over")}
    tokens = {f"{site.namespace}/{name}": token_in(site.api, body) for name, body in objects.items()}
    site.api.delete(objects["over"]).must_succeed()
    return tokens


def _summary(campaign: Campaign, seed: int) -> str:
    codes = ", ".join(f"{code} {count}" for code, count in sorted(campaign.codes.items()))
    heartbeats = ", ".join(f"{count} x {status}" for status, count in sorted(campaign.heartbeats.items()))
    return (
        f"seed {seed}: {campaign.requests} requests, {campaign.answered(200)} x 200 ({campaign.redeemed} redeemed), "
        f"{campaign.answered(429)} x 429; {codes}; heartbeats {heartbeats}"
    )


def _errors_in(log: Path) -> list[str]:
    """The lines of a log that tell of a fault: an error that was logged, or a traceback that nobody caught."""
    lines = log.read_text().splitlines()
    assert any("listens" in line for line in lines), "the test has lost sight of the log"
    return [line for line in lines if '"level": "error"' in line or "Traceback" in line or line.startswith("  File")]


def _broken_lines(audit: Path, secrets: Sequence[str]) -> list[str]:
    """The audit lines that are not one line of JSON in plain ASCII, or hold a token."""
    lines = audit.read_text(encoding="utf-8").split("\n")
    assert len(lines) > 1, "the test has lost sight of the audit log"
    signatures = [secret.rpartition(".")[2] for secret in secrets]
    return [
        line
        for line in lines[:-1]
        if not (line.isascii() and line.isprintable() and isinstance(json.loads(line), dict))
        or any(signature in line for signature in signatures)
    ]
