"""A client that has the JWKS can verify our tokens, with a library that is not ours (R2, RFC 7515, 7519 and 9068)."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tallystick.crypto.keyring import PUBLISH_FOR
from tallystick.crypto.keys import Algorithm, SigningKey
from tests.harness.foreign import ForeignVerifier, foreign_verifier_program
from tests.harness.own_system import OwnSystem, own_system
from tests.harness.pairing_site import Site, claims_of
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.rotation import published, rotate

__all__ = ["own_system"]

ALGORITHMS: tuple[Algorithm, ...] = ("ES256", "RS256")
TYPES = ("pairing+jwt", "at+jwt")
EVERY = 17


@dataclass(frozen=True, slots=True)
class Sample:
    """A live token, and who it is for."""

    alg: str
    typ: str
    token: str

    @property
    def audience(self) -> str:
        """The `aud` that stands in it: one text (RFC 7519 4.1.3)."""
        found: str = claims_of(self.token)["aud"]
        return found


@pytest.fixture(scope="module")
def samples(own_system: OwnSystem) -> dict[tuple[str, str], Sample]:
    """One token of each type under each algorithm. The keyring holds both keys at the end."""
    site = own_system.site("foreign")
    taken = _take(site, "ES256")
    rotate(own_system, "RS256")
    poll(lambda: len(published(site.exchange)) == 2)
    own_system.clock.advance(PUBLISH_FOR)
    return taken | _take(site, "RS256")


def _take(site: Site, alg: str) -> dict[tuple[str, str], Sample]:
    pairing = site.issue(f"waits-{alg.lower()}", ttl="24h")
    master = site.paired(f"paired-{alg.lower()}")["access_token"]
    return {(alg, typ): Sample(alg, typ, token) for typ, token in zip(TYPES, (pairing, master), strict=True)}


@pytest.fixture(scope="module")
def verifier(own_system: OwnSystem) -> ForeignVerifier:
    return ForeignVerifier.of_issuer(foreign_verifier_program(), own_system.up.url, own_system.up.ca_file)


@pytest.fixture(params=[pytest.param((alg, typ), id=f"{alg} {typ}") for alg in ALGORITHMS for typ in TYPES])
def sample(samples: dict[tuple[str, str], Sample], request: pytest.FixtureRequest) -> Sample:
    chosen: tuple[str, str] = request.param
    return samples[chosen]


@pytest.fixture
def now(own_system: OwnSystem) -> datetime:
    return own_system.clock.now()


def test_a_token_verifies_and_says_what_we_read_in_it(verifier: ForeignVerifier, sample: Sample, now: datetime) -> None:
    verdict = verifier.verify(sample.token, typ=sample.typ, audience=sample.audience, now=now)

    assert (verdict.valid, verdict.reason) == (True, "")
    assert (verdict.alg, verdict.typ) == (sample.alg, sample.typ)
    assert verdict.claims == claims_of(sample.token)


def test_what_is_not_as_it_was_signed_is_refused(verifier: ForeignVerifier, sample: Sample, now: datetime) -> None:
    header, claims, signature = sample.token.split(".")
    other_claims = _encoded({**claims_of(sample.token), "sub": "somebody else"})
    cases = {
        "another subject": (f"{header}.{other_claims}.{signature}", "signature"),
        "a turned bit in the signature": (f"{header}.{claims}.{_turned(signature)}", "signature"),
        "no signature": (f"{header}.{claims}.", "signature"),
        "alg none": (f"{_encoded({'alg': 'none', 'typ': sample.typ})}.{claims}.", "malformed"),
        "no token": (claims, "malformed"),
    }

    judged = {
        case: verifier.verify(token, typ=sample.typ, audience=sample.audience, now=now)
        for case, (token, _) in cases.items()
    }

    assert {case: (verdict.valid, verdict.reason) for case, verdict in judged.items()} == {
        case: (False, reason) for case, (_, reason) in cases.items()
    }


def test_a_token_for_another_audience_or_of_another_kind_is_refused(
    verifier: ForeignVerifier, sample: Sample, now: datetime
) -> None:
    (other_typ,) = set(TYPES) - {sample.typ}
    elsewhere = ForeignVerifier(verifier.program, "https://elsewhere.example", verifier.keys)

    judged = (
        verifier.verify(sample.token, typ=other_typ, audience=sample.audience, now=now),
        verifier.verify(sample.token, typ=sample.typ, audience="https://elsewhere.example", now=now),
        elsewhere.verify(sample.token, typ=sample.typ, audience=sample.audience, now=now),
    )

    assert [verdict.reason for verdict in judged] == ["typ", "aud", "iss"]


def test_a_token_is_valid_until_its_expiry_and_not_after(verifier: ForeignVerifier, sample: Sample) -> None:
    expiry = datetime.fromtimestamp(claims_of(sample.token)["exp"], UTC)

    before, after = (
        verifier.verify(sample.token, typ=sample.typ, audience=sample.audience, now=expiry + timedelta(seconds=seconds))
        for seconds in (-1, 1)
    )

    assert (before.valid, after.valid, after.reason) == (True, False, "expired")


def test_a_token_of_another_key_is_refused_under_any_name(
    verifier: ForeignVerifier, sample: Sample, now: datetime, tmp_path: Path
) -> None:
    """A verifier that was given other keys refuses, also where a key of ours has lent its name to a stranger's."""
    stranger = SigningKey.generate("ES256" if sample.alg == "ES256" else "RS256").public_jwk()
    kid = json.loads(base64.urlsafe_b64decode(sample.token.partition(".")[0] + "=="))["kid"]
    cases = {"another name": (stranger, "unknown key"), "the name of ours": (stranger | {"kid": kid}, "signature")}
    judged = {}
    for case, (jwk, _) in cases.items():
        file = tmp_path / "jwks.json"
        file.write_text(json.dumps({"keys": [jwk]}))
        offline = ForeignVerifier.of_file(verifier.program, verifier.issuer, file)
        judged[case] = offline.verify(sample.token, typ=sample.typ, audience=sample.audience, now=now).reason

    assert judged == {case: reason for case, (_, reason) in cases.items()}


@pytest.mark.proof(gate=1, soak=EVERY)
def test_no_turned_character_goes_unnoticed(
    verifier: ForeignVerifier, samples: dict[tuple[str, str], Sample], now: datetime, rounds: int, figure: Figure
) -> None:
    """Nothing of a token can be changed without notice: each round turns another one of seventeen characters."""
    tried = accepted = 0
    for first in range(rounds):
        for sample in samples.values():
            for place in range(first, len(sample.token), EVERY):
                changed = sample.token[:place] + _turned(sample.token[place]) + sample.token[place + 1 :]
                verdict = verifier.verify(changed, typ=sample.typ, audience=sample.audience, now=now)
                tried += 1
                accepted += verdict.valid
    figure(f"{tried} tokens of {len(samples)} kinds with one character turned, {accepted} accepted")
    assert (tried > 100, accepted) == (True, 0)


def _encoded(part: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _turned(text: str) -> str:
    """Another text of the same length. `A` and `w` differ in bits that count, also in the last character of a part."""
    return ("A" if text[0] != "A" else "w") + text[1:]
