"""Whether a client may have what it asks for: R81, R92, S11, RFC 8693."""

import pytest

from tallystick.pairing.domain.grants import Denial, Grant, RequestedGrant, origin, why_denied
from tallystick.pairing.domain.use_cases import use_cases
from tests.builders import ISSUER, a_pairing_token

TABLE = {
    "useCases": {
        "mission-control": {"scope": ["mc:read", "mc:write"]},
        "federated-repo": {"scope": ["sync"], "audience": ["https://a.example", "https://b.example"]},
    }
}
SAME_TOPOLOGY = Denial("invalid_target", f"pairing tokens link different topologies; use the JoinKey inside {ISSUER}")
OTHER_PEER = Denial("invalid_target", "client_id is not the peer for which this pairing token was issued")


def refused(*, use_case="mission-control", peer=None, client_id=None, scope=(), audience=()):
    token = a_pairing_token(useCase=use_case, peerURL=peer)
    grant = Grant(token, use_cases(TABLE).get(use_case), ISSUER, (ISSUER, "https://other.example.com:8443"))
    return why_denied(RequestedGrant(client_id, scope, audience), grant)


@pytest.mark.parametrize(
    "requested",
    [
        pytest.param({}, id="nothing in particular"),
        pytest.param({"client_id": "https://mc.example.net"}, id="from another topology"),
        pytest.param({"client_id": "just a name"}, id="with a name that is no URL"),
        pytest.param({"scope": ("mc:read",)}, id="less than the use case allows"),
        pytest.param({"scope": ("mc:write", "mc:read")}, id="all that the use case allows, in any order"),
        pytest.param({"audience": (ISSUER,)}, id="the audience that it would get anyway"),
        pytest.param({"use_case": "federated-repo", "audience": ("https://b.example",)}, id="one of the audiences"),
        pytest.param(
            {"peer": "https://mc.example.net", "client_id": "HTTPS://MC.example.net:443/path"},
            id="S11 as the peer, in another spelling",
        ),
    ],
)
def test_a_client_may_ask_for(requested):
    assert refused(**requested) is None


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        pytest.param({"client_id": ISSUER}, SAME_TOPOLOGY, id="R81 as the issuer itself"),
        pytest.param({"client_id": f"{ISSUER.upper()}:443/x"}, SAME_TOPOLOGY, id="R81 in another spelling"),
        pytest.param({"client_id": "https://other.example.com:8443/"}, SAME_TOPOLOGY, id="R81 as our other URL"),
        pytest.param({"peer": "https://mc.example.net"}, OTHER_PEER, id="S11 a peer's token, without a name"),
        pytest.param(
            {"peer": "https://mc.example.net", "client_id": "https://mc.example.net.evil.org"},
            OTHER_PEER,
            id="S11 a peer's token, as another service",
        ),
        pytest.param(
            {"peer": "https://mc.example.net", "client_id": "http://mc.example.net"},
            OTHER_PEER,
            id="S11 a peer's token, with another scheme",
        ),
        pytest.param(
            {"audience": ("https://elsewhere.example",)},
            Denial("invalid_target", "the requested audience is not part of use case mission-control"),
            id="an audience of its own choice",
        ),
        pytest.param(
            {"use_case": "federated-repo", "audience": (ISSUER,)},
            Denial("invalid_target", "the requested audience is not part of use case federated-repo"),
            id="our base URL, where the use case has audiences",
        ),
        pytest.param(
            {"scope": ("mc:read", "cluster:root")},
            Denial("invalid_scope", 'scope "mc:read cluster:root" is not part of use case mission-control'),
            id="R92 a wider scope",
        ),
        pytest.param(
            {"client_id": ISSUER, "scope": ("cluster:root",)}, SAME_TOPOLOGY, id="more than one wrong thing: the first"
        ),
    ],
)
def test_a_client_may_not_ask(requested, expected):
    assert refused(**requested) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, None),
        ("https://a.example", "https://a.example:443"),
        ("http://a.example/x?y#z", "http://a.example:80"),
        ("https://user@A.example:8443/", "https://a.example:8443"),
        ("https://[::1]:8443", "https://::1:8443"),
        ("https://a.example:99999", "https://a.example:99999"),
        ("https://[", "https://["),
        ("", ""),
        ("a name", "a name"),
    ],
)
def test_an_origin_is_what_two_spellings_have_in_common(url, expected):
    assert origin(url) == expected
