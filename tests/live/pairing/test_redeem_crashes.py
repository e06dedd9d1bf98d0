"""A replica that is killed in the middle of a redemption consumes the token once, and never for two (design.md, S14).

Where it can die is recorded from what a redemption does, so that a new step is killed as the others are.
"""

import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.crypto.keys import SigningKey
from tallystick.crypto.tokens import sign
from tallystick.install.installation import Installation
from tallystick.objects.labels import KEYRING_SECRET
from tallystick.pairing.api.master_token import MasterToken
from tallystick.pairing.domain.tokens import MASTER, master_claims
from tallystick.tokens.keyrings import stored_keyring
from tests.harness import endings
from tests.harness.api import Api
from tests.harness.endings import Ending, Trust, name_of
from tests.harness.exchange import Exchange, HttpAnswer, Replica, another_client, replica
from tests.harness.failpoints import DRY_RUN, RECORD_VARIABLE, Call, Failpoint, points_of, recorded
from tests.harness.pairing_site import INVALID_TEXT, USED_TEXT, Site, claims_of, make_site
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import System

Json = dict[str, Any]

AFTER_SWAP = Failpoint("after", "replace_status", "pairingtokens")
AFTER_CREATE = Failpoint("after", "create", "mastertokens")
FRESH_SECONDS = 1.0


ENDINGS: tuple[Ending, ...] = (
    endings.order_in_the_pairing_token,
    endings.deletion_of_the_pairing_token,
)


# What a redemption does.


@pytest.fixture(scope="module")
def steps(
    system: System, admin: Api, make_namespace: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> list[Call]:
    """The calls of one redemption, as a replica has noted them, and nothing that went past its notes."""
    folder = tmp_path_factory.mktemp("recorded")
    notes = folder / "calls"
    with (
        replica(system, folder / "exchange", environment={RECORD_VARIABLE: str(notes)}) as noting,
        another_client(system) as at_home,
    ):
        client = at_home.at(noting.url)
        site = make_site(admin, make_namespace("steps"), client)
        with_key = _noted(notes, partial(client.redeem, site.issue("bound"), key=SigningKey.generate("ES256")))
        without = _noted(notes, partial(client.redeem, site.issue("bearer")))
        poll(lambda: client.api_calls() == len(recorded(notes)))
    assert [(call.verb, call.plural) for call in with_key] == [(call.verb, call.plural) for call in without]
    return with_key


def _noted(notes: Path, redeem: Callable[[], HttpAnswer]) -> list[Call]:
    before = len(recorded(notes))
    redeem().must_succeed()
    # All but dry runs, and the keyring's Secret, which is read every few seconds whatever happens.
    return [call for call in recorded(notes)[before:] if call.name != KEYRING_SECRET and call.verb != DRY_RUN]


@pytest.fixture(scope="module")
def points(steps: list[Call]) -> list[Failpoint]:
    """Before and after each call: from what follows the verification to what follows the last reading."""
    found = points_of(steps)
    assert {AFTER_SWAP, AFTER_CREATE} < set(found)
    return found


# Killed at each of its steps.


@dataclass(frozen=True, slots=True)
class CutOff:
    """A redemption whose replica dies, and what follows: whether its client asks again, and how its trust ends."""

    trust: Trust
    end: Ending
    asks_again: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """A namespace for one point, the replicas that live on, and a client who is somebody else.

    Refused requests count against their source, so each scene has its own two.
    """

    site: Site
    urls: tuple[str, ...]
    stranger: Exchange


@pytest.fixture
def make_scene(
    system: System, second_replica: Replica, admin: Api, make_namespace: Callable[[str], str]
) -> Callable[[], AbstractContextManager[Scene]]:
    @contextmanager
    def make() -> Iterator[Scene]:
        with another_client(system) as client, another_client(system) as stranger:
            yield Scene(make_site(admin, make_namespace("killed"), client), (client.url, second_replica.url), stranger)

    return make


@pytest.mark.proof(gate=1, soak=4)
def test_a_replica_killed_at_any_step_leaves_at_most_one_trust_and_none_that_cannot_be_revoked(
    system: System,
    make_scene: Callable[[], AbstractContextManager[Scene]],
    tmp_path: Path,
    points: list[Failpoint],
    rounds: int,
    figure: Figure,
) -> None:
    counts: Counter[str] = Counter()
    for number, point in enumerate(points * rounds):
        spent, recorded_by_then = (points.index(point) >= points.index(after) for after in (AFTER_SWAP, AFTER_CREATE))
        with make_scene() as scene:
            cut_off = _kill_at(point, system, scene.site, tmp_path / str(number))
            everybody = {one.trust.name for one in cut_off}
            left = everybody if recorded_by_then else set()
            assert {scene.site.state_of(name)[0] for name in everybody} == {"Used" if spent else "Active"}, point
            assert set(_masters(scene.site)) == left, point

            got = _asked_again(scene, [one.trust for one in cut_off if one.asks_again], spent=spent)

            masters = _masters(scene.site)
            assert set(masters) == left | set(got), point
            assert all(masters[name] == token for name, token in got.items()), point
            _end_all(scene, cut_off, list(masters.values()))
            assert _answered_too_late(scene, cut_off) == {400}, point
            assert set(_masters(scene.site)) <= set(masters), point
        counts.update(killed=1, cut=len(cut_off), got=len(got), masters=len(masters))
    figure(
        f"{rounds} rounds of {len(points)} points: {counts['killed']} replicas killed, {counts['cut']} redemptions "
        f"cut off, {counts['got']} answered when asked again, {counts['masters']} master tokens, 0 twice, all ended"
    )


def _kill_at(point: Failpoint, system: System, site: Site, folder: Path) -> list[CutOff]:
    """Redeem tokens of all sorts at a replica, which dies when all of them are at the point."""
    key = SigningKey.generate("ES256")
    sorts = {
        f"{name_of(end)}-{'key' if bound else 'bearer'}-{'again' if asks_again else 'silent'}": (bound, end, asks_again)
        for bound, end, asks_again in itertools.product((key, None), ENDINGS, (True, False))
    }
    for name in sorts:
        site.api.create(site.pairing_token(name)).must_succeed()
    cut_off = [
        CutOff(Trust(name, site.issued(name), key=bound), end, asks_again)
        for name, (bound, end, asks_again) in sorts.items()
    ]
    with replica(system, folder, failpoint=str(point.for_callers(len(cut_off)))) as doomed:
        client = site.exchange.at(doomed.url)
        with ThreadPoolExecutor(len(cut_off)) as threads:
            answers = list(threads.map(lambda one: client.redeem(one.trust.pairing, key=one.trust.key), cut_off))
        assert doomed.child.wait(10.0) == -signal.SIGKILL, point
    assert {answer.status for answer in answers} == {0}, point
    return cut_off


def _asked_again(scene: Scene, trusts: Sequence[Trust], *, spent: bool) -> dict[str, str]:
    """Ask for each token again, as its client and as somebody else; return what its client gets."""
    other = SigningKey.generate("ES256")
    got = {}
    for trust in trusts:
        used = (400, USED_TEXT.format(claims_of(trust.pairing)["jti"]))
        if spent:
            assert _said(scene.stranger.redeem(trust.pairing, key=other)) == used
        answers = [scene.site.exchange.at(url).redeem(trust.pairing, key=trust.key) for url in scene.urls]
        assert _said(scene.stranger.redeem(trust.pairing, key=other)) == used

        granted = [answer.body["access_token"] for answer in answers if answer.status == 200]
        refused = [_said(answer) for answer in answers if answer.status != 200]
        # With a key every time, without one once; and where it was spent by then, not at all.
        assert len(granted) == (len(answers) if trust.key is not None else 0 if spent else 1), trust
        assert refused == [used] * (len(answers) - len(granted)), trust
        assert len(set(granted)) <= 1, trust
        if granted:
            got[trust.name] = granted[0]
    return got


def _said(answer: HttpAnswer) -> tuple[int, str]:
    return answer.status, answer.description


def _masters(site: Site) -> dict[str, str]:
    """The master tokens of all MasterTokens, by the names of their PairingTokens: at most one of each.

    They are signed here as the killed replica may have signed them: its answer may have reached somebody.
    """
    secret = {"kind": "Secret", "metadata": {"namespace": DEFAULT_NAMESPACE, "name": KEYRING_SECRET}}
    keyring = stored_keyring(site.api.get(secret))
    signed: dict[str, str] = {}
    for found in site.api.find_all("MasterToken", site.namespace):
        master = MasterToken.model_validate(found)
        key, reference = keyring.by_id(master.spec.key_id), master.spec.pairing_token_ref
        assert key is not None
        assert reference is not None
        assert reference.name not in signed
        claims = master_claims(master, site.exchange.issuer)
        signed[reference.name] = sign(claims, profile=MASTER, key=key)
    return signed


def _end_all(scene: Scene, cut_off: Sequence[CutOff], masters: Sequence[str]) -> None:
    """End each trust in its way: it was active, and within a second it is not, at any replica."""
    site = scene.site
    assert all(site.is_active(master) for master in masters)
    for one in cut_off:
        one.end(site, one.trust)
    sent = ended = time.monotonic()
    while any(site.is_active(master, url=url) for master in masters for url in scene.urls):
        assert sent - ended < FRESH_SECONDS
        sent = time.monotonic()


def _answered_too_late(scene: Scene, cut_off: Sequence[CutOff]) -> set[int]:
    """What each client is told once its trust has been ended, whether it had asked again before or not."""
    asked = itertools.product((one.trust for one in cut_off), scene.urls)
    return {scene.site.exchange.at(url).redeem(trust.pairing, key=trust.key).status for trust, url in asked}


# A forgery in its place.


@pytest.fixture
def doomed(system: System, tmp_path: Path) -> Iterator[Replica]:
    """A replica that kills itself after the swap."""
    with replica(system, tmp_path / "exchange", failpoint=str(AFTER_SWAP)) as running:
        yield running


def test_a_forged_record_of_the_redemption_is_not_signed(
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


def _record_with_more(site: Site, system: System) -> Json:
    """Build the MasterToken of the redemption, with a wider scope."""
    pairing = site.api.get(site.pairing_token())
    redemption, meta = pairing["status"]["redemption"], pairing["metadata"]
    year = datetime.fromisoformat(redemption["time"]) + timedelta(days=365)
    spec = {
        "pairingTokenRef": {"name": meta["name"], "uid": meta["uid"]},
        "serial": 1,
        "redemptionID": redemption["redemptionID"],
        "tokenID": redemption["masterTokenID"],
        "kid": redemption["kid"],
        "useCase": "mission-control",
        "scope": [*redemption["scope"], "everything"],
        "audience": [system.up.url],
        "subject": pairing["status"]["subject"],
        "keyThumbprint": redemption["clientKeyThumbprint"],
        "issuedTime": redemption["time"],
        "expirationTime": year.isoformat().replace("+00:00", "Z"),
        "deletionPolicy": "Revoke",
    }
    return site.master_token(redemption["masterTokenID"]) | {"spec": spec}
