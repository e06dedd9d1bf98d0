"""Pairing by answers that a test has written: what is asked again, what is believed, and how a refusal is reported."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.pairing.client.files import PairError
from tallystick.pairing.client.pairing import Pairing, PairRequest, Response
from tests.fakes import CountingIds, FakeClock
from tests.worlds.replica import ISSUER, Replica


@dataclass
class Script:
    """The `Send` port with answers that a test has written; a POST gets the next of `answers`, the last for ever."""

    replica: Replica
    answers: list[Response] = field(default_factory=list)
    metadata: Mapping[str, object] = field(default_factory=dict)
    posts: list[str] = field(default_factory=list)

    async def __call__(
        self, method: str, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        if method == "POST":
            self.posts.append(url)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if url.endswith("jwks.json"):
            return Response(200, self.replica.keyring().jwks())
        issuer = self.replica.issuer
        endpoints = {"token_endpoint": f"{issuer}/oauth2/token", "jwks_uri": f"{issuer}/jwks.json"}
        return Response(200, {"issuer": issuer, **endpoints, **self.metadata})


async def paired(script: Script, token: str, *, key: SigningKey | None = None) -> tuple[str, list[float]]:
    """Pair by the script on the replica's clock; return the token and how long each wait was."""
    waits: list[float] = []
    clock = script.replica.clock

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.advance(seconds)

    request = PairRequest(token, script.replica.issuer, key)
    return await Pairing(request, script, clock=clock, ids=CountingIds(), sleep=sleep).master_token(), waits


DONE = Response(200, {"access_token": "the-master-token", "token_type": "bearer"})
BUSY = Response(503, {"error": "temporarily_unavailable", "error_description": "busy"}, 1.0)


async def test_it_asks_again_with_growing_waits_and_not_before_the_retry_after():
    replica = Replica()
    nothing = Response(0, {}, problem="no connection")
    script = Script(replica, [nothing, nothing, BUSY, Response(429, {}, 9.0), DONE])

    token, waits = await paired(script, replica.pairing_token())

    assert (token, waits) == ("the-master-token", [0.25, 0.5, 1.0, 9.0])


async def test_it_gives_up_before_the_pairing_token_expires():
    replica = Replica()
    script = Script(replica, [BUSY])
    token = replica.pairing_token()

    with pytest.raises(PairError, match="before the pairing token expires: busy"):
        await paired(script, token)

    assert replica.clock.now() < FakeClock().now().replace(minute=5)
    assert len(script.posts) > 50


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        pytest.param({"issuer": f"{ISSUER}/"}, "publishes another issuer name", id="another name"),
        pytest.param({"token_endpoint": "https://evil.example/t"}, "token_endpoint is not under", id="elsewhere"),
        pytest.param({"token_endpoint": f"{ISSUER}.evil.example/t"}, "is not under", id="a longer host"),
        pytest.param({"jwks_uri": None}, "jwks_uri is not under", id="no keys"),
    ],
)
async def test_an_issuer_that_points_elsewhere_is_not_followed(metadata, said):
    script = Script(Replica(), [DONE], metadata)

    with pytest.raises(PairError, match=said):
        await paired(script, script.replica.pairing_token())

    assert script.posts == []


async def test_an_exchange_url_outside_the_issuer_is_not_followed():
    replica = Replica()
    replica.policy = replace(replica.policy, external_urls=(replica.issuer, "https://other.example"))
    token = replica.pairing_token(exchangeURL="https://other.example/oauth2/token")
    script = Script(replica, [DONE])

    with pytest.raises(PairError, match="the token's exchange_url is not under"):
        await paired(script, token)

    assert script.posts == []


async def test_an_expired_token_is_not_sent():
    replica = Replica()
    token, script = replica.pairing_token(), Script(replica, [DONE])
    replica.clock.advance(331)

    with pytest.raises(PairError, match=r"expired at 2030-01-01T12:05:00Z; raise spec\.serial"):
        await paired(script, token)

    assert script.posts == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(Response(200, {}), "no master token", id="an empty answer"),
        pytest.param(
            Response(200, {"access_token": "a\x1b[2J", "token_type": "Bearer"}), "no master token", id="an escape"
        ),
        pytest.param(
            Response(200, {"access_token": "a", "token_type": "DPoP"}),
            "of type DPoP instead of Bearer",
            id="another type",
        ),
        pytest.param(
            Response(400, {"error": "invalid_request", "error_description": "no \x1b[2J"}),
            r"^no \\u001b\[2J$",
            id="a text that would clear the screen",
        ),
        pytest.param(Response(418, {}), "HTTP status 418", id="no words"),
        pytest.param(Response(302, {}), "is a redirect, which is not followed", id="a redirect"),
    ],
)
async def test_a_strange_answer_is_an_error(answer, said):
    replica = Replica()

    with pytest.raises(PairError, match=said):
        await paired(Script(replica, [answer]), replica.pairing_token())


async def test_a_proof_that_is_refused_points_to_the_clock():
    replica = Replica()
    refused = Response(400, {"error": "invalid_dpop_proof", "error_description": "the DPoP proof is not valid"})

    with pytest.raises(PairError, match="check the clock of this machine"):
        await paired(Script(replica, [refused]), replica.pairing_token(), key=SigningKey.generate("ES256"))


def test_a_request_does_not_show_its_token():
    assert "a.b.c" not in repr(PairRequest("a.b.c", ISSUER, None))
