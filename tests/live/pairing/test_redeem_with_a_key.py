"""A client that proves a key may ask again after a lost answer, and no other client may (RFC 9449, S14)."""

import pytest

from tallystick.crypto.keys import SigningKey
from tests.harness.exchange import Replica
from tests.harness.objects import a_pairing_token
from tests.harness.pairing_site import USED_TEXT, Site, claims_of

PROOF_TEXT = "the DPoP proof is not valid"


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.generate("ES256")


@pytest.fixture(scope="module")
def other_key() -> SigningKey:
    return SigningKey.generate("ES256")


def test_the_same_key_gets_the_very_same_token_at_every_replica(
    site: Site, key: SigningKey, second_replica: Replica
) -> None:
    token = site.issue()

    first = site.exchange.redeem(token, key=key).must_succeed()
    again = [site.exchange.at(url).redeem(token, key=key).must_succeed() for url in _replicas(site, second_replica)]

    assert {answer["access_token"] for answer in again} == {first["access_token"]}
    assert len(site.api.find_all("MasterToken", site.namespace)) == 1


def test_the_token_is_bound_to_the_key_and_says_so(site: Site, key: SigningKey) -> None:
    answer = site.exchange.redeem(site.issue(), key=key).must_succeed()

    described = site.exchange.introspect(answer["access_token"], site.bearer).must_succeed()

    assert answer["token_type"] == described["token_type"] == "DPoP"
    assert claims_of(answer["access_token"])["cnf"] == described["cnf"] == {"jkt": key.key_id}


def test_another_key_and_no_key_are_refused(site: Site, key: SigningKey, other_key: SigningKey) -> None:
    token = site.issue()
    site.exchange.redeem(token, key=key).must_succeed()

    answers = [site.exchange.redeem(token, key=other_key), site.exchange.redeem(token)]

    text = USED_TEXT.format(claims_of(token)["jti"])
    assert [(a.status, a.body["error"], a.description) for a in answers] == [(400, "invalid_request", text)] * 2


def test_a_key_does_not_help_who_redeemed_without_one(site: Site, key: SigningKey) -> None:
    token = site.issue()
    site.exchange.redeem(token).must_succeed()

    answer = site.exchange.redeem(token, key=key)

    assert answer.description == USED_TEXT.format(claims_of(token)["jti"])


def test_a_revoked_token_is_refused_to_its_key_too(site: Site, key: SigningKey) -> None:
    token = site.issue()
    site.exchange.redeem(token, key=key).must_succeed()
    site.api.merge(a_pairing_token(site.namespace), {"spec": {"revoked": True}}).must_succeed()

    # The reading that the exchange has may be one second old; the last step of a redemption reads anew.
    answer = site.exchange.redeem(token, key=key)

    assert (answer.status, answer.description) == (
        400,
        f"pairing token {claims_of(token)['jti']} has been revoked",
    )


@pytest.mark.parametrize(
    ("url", "method"),
    [
        pytest.param("https://elsewhere.example/oauth2/token", "POST", id="another place"),
        pytest.param("{issuer}/oauth2/introspect", "POST", id="another endpoint"),
        pytest.param("{issuer}/oauth2/token", "GET", id="another method"),
    ],
)
def test_a_proof_for_something_else_is_refused_and_consumes_nothing(
    site: Site, key: SigningKey, url: str, method: str
) -> None:
    token = site.issue()
    proof = site.exchange.proof(key, url=url.format(issuer=site.exchange.issuer), method=method)

    answer = site.exchange.redeem(token, proof=proof)

    assert (answer.status, answer.body) == (
        400,
        {"error": "invalid_dpop_proof", "error_description": PROOF_TEXT},
    )
    assert site.state_of() == ("Active", 1)


def _replicas(site: Site, second: Replica) -> tuple[str, str]:
    return site.exchange.url, second.url
