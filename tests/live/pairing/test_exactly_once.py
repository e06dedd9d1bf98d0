"""Of many who redeem at once one succeeds, and what is revoked meanwhile is over for all (R84, R94, S7).

Three replicas stand behind one issuer: the system's, the second one of the run, and a third.
"""

import itertools
import json
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tallystick.crypto.keys import SigningKey
from tests.harness import endings
from tests.harness.endings import Ending, Trust
from tests.harness.exchange import Exchange, HttpAnswer, Replica, another_client, replica
from tests.harness.pairing_site import INVALID_TEXT, REVOKED_TEXT, USED_TEXT, Site, claims_of
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import System
from tests.harness.together import Together, at_once

Json = dict[str, Any]

CROWD = 50
# Drawn so that now the redemption is first, now the revocation, and now one falls into the other's middle.
REDEEM_WITHIN, END_WITHIN = 0.03, 0.06


@dataclass(frozen=True, slots=True)
class Replicas:
    """Where they listen, and their logs from where these ended when the tests began."""

    urls: tuple[str, ...]
    logs: tuple[tuple[Path, int], ...]

    def faults(self) -> list[str]:
        """The lines that tell of an exception: no client may cause one."""
        texts = [log.read_bytes()[mark:].decode() for log, mark in self.logs]
        lines = itertools.chain.from_iterable(text.splitlines() for text in texts)
        return [line for line in lines if _is_fault(line)]


def _is_fault(line: str) -> bool:
    return not line.startswith("{") or json.loads(line)["level"] in {"error", "critical"} or "Traceback" in line


@pytest.fixture(scope="module")
def replicas(system: System, second_replica: Replica, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    with replica(system, tmp_path_factory.mktemp("third-replica") / "exchange") as third:
        logs = [system.up.children["exchange"].log, second_replica.child.log, third.child.log]
        marked = tuple((log, log.stat().st_size) for log in logs)
        yield Replicas((system.up.url, second_replica.url, third.url), marked)


@pytest.fixture(scope="module")
def crowd(system: System, replicas: Replicas) -> Iterator[list[Exchange]]:
    """Clients from as many addresses, so that no source fails too often; each has a connection of its own."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(another_client(system)).at(url)
            for url in itertools.islice(itertools.cycle(replicas.urls), CROWD)
        ]


@pytest.fixture(scope="module")
def keys() -> list[SigningKey]:
    return [SigningKey.generate("ES256") for _ in range(CROWD // 2)]


# One of fifty.


@pytest.mark.proof(gate=4, soak=200)
def test_of_fifty_who_redeem_at_once_at_three_replicas_exactly_one_succeeds(
    site: Site, replicas: Replicas, crowd: list[Exchange], keys: list[SigningKey], rounds: int, figure: Figure
) -> None:
    counts: Counter[str] = Counter()
    spreads = []
    swaps = _swaps(crowd)
    for number in range(rounds):
        name = f"site-{number}"
        token = site.issue(name)
        shown = [crowd[0].proof(key) for key in keys] + [""] * (CROWD - len(keys))

        shot = _shoot(crowd, token, shown)

        winners = [answer for answer in shot.results if answer.status == 200]
        refused = Counter(_said(answer) for answer in shot.results if answer.status != 200)
        assert len(winners) == 1
        assert refused == {(400, "invalid_request", USED_TEXT.format(claims_of(token)["jti"])): CROWD - 1}
        assert _masters_of(site, name) == [winners[0].body["token_id"]]
        assert site.is_active(winners[0].body["access_token"])
        counts[winners[0].body["token_type"]] += 1
        spreads.append(shot.spread)
    figure(
        f"{rounds} rounds of {CROWD} at 3 replicas, {counts.total()} successes ({counts['DPoP']} with a key), "
        f"{rounds * (CROWD - 1)} refusals, {_swaps(crowd) - swaps:.0f} swaps tried; "
        f"started within {_milliseconds(spreads)}"
    )
    assert replicas.faults() == []


@pytest.mark.proof(gate=4, soak=200)
def test_fifty_requests_of_one_key_get_the_very_same_token(
    site: Site, replicas: Replicas, crowd: list[Exchange], keys: list[SigningKey], rounds: int, figure: Figure
) -> None:
    for number in range(rounds):
        name = f"site-{number}"
        token = site.issue(name)
        shown = [crowd[0].proof(keys[0]) for _ in range(CROWD)]

        first = _shoot(crowd, token, shown).results

        answers = [_repeated(client, token, keys[0], one) for client, one in zip(crowd, first, strict=True)]
        different = {answer.body["access_token"] for answer in answers if answer.status == 200}
        assert {answer.status for answer in first} <= {200, 503}
        assert {answer.status for answer in answers} == {200}
        assert len(different) == 1
        assert _masters_of(site, name) == [answers[0].body["token_id"]]
    figure(f"{rounds} rounds of {CROWD} requests, {rounds * CROWD} answers, {rounds} different tokens")
    assert replicas.faults() == []


def _shoot(crowd: Sequence[Exchange], token: str, proofs: Sequence[str]) -> Together[HttpAnswer]:
    """Redeem, all at once, over connections that are open already."""
    with ThreadPoolExecutor(len(crowd)) as threads:
        list(threads.map(lambda client: poll(lambda: client.get("/openapi.json").status == 200), crowd))
    return at_once([partial(client.redeem, token, proof=proof) for client, proof in zip(crowd, proofs, strict=True)])


def _repeated(client: Exchange, token: str, key: SigningKey, answer: HttpAnswer) -> HttpAnswer:
    """Return the answer that is no 503: a good client repeats its request, with the same key, while it is busy."""
    answers = [answer]
    poll(lambda: answers[-1].status != 503 or answers.append(client.redeem(token, key=key)))
    return answers[-1]


def _swaps(crowd: Sequence[Exchange]) -> float:
    """How many swaps the three replicas have sent: those that raced as far as the API server."""
    return sum(client.api_calls("replace_status") for client in crowd[:3])


def _said(answer: HttpAnswer) -> tuple[int, str, str]:
    return answer.status, str(answer.body.get("error", "")), answer.description


def _masters_of(site: Site, name: str) -> list[str]:
    """The ids of the MasterTokens of a PairingToken; the redemption must name each one."""
    redemption = site.api.get(site.pairing_token(name))["status"]["redemption"]
    specs = [master["spec"] for master in site.api.find_all("MasterToken", site.namespace)]
    made = [spec for spec in specs if spec["pairingTokenRef"]["name"] == name]
    assert {(spec["redemptionID"], spec["tokenID"]) for spec in made} <= {
        (redemption["redemptionID"], redemption["masterTokenID"])
    }
    return [spec["tokenID"] for spec in made]


def _milliseconds(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} ms (median), {max(seconds) * 1000:.0f} ms (most)"


# Revoked meanwhile.


ENDINGS: tuple[Ending, ...] = (
    endings.order_in_the_pairing_token,
    endings.deletion_of_the_pairing_token,
)


@pytest.mark.proof(gate=10, soak=200)
def test_what_is_redeemed_while_it_is_revoked_is_over_once_that_is_acknowledged(
    site: Site, crowd: list[Exchange], replicas: Replicas, keys: list[SigningKey], rounds: int, figure: Figure
) -> None:
    """Nobody has introspected before, so no replica has a reading to share: not even a second is granted."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)  # noqa: S311 - offsets, no secrets
    counts: Counter[str] = Counter()
    for number, end in zip(range(rounds), itertools.cycle(ENDINGS), strict=False):
        name = f"site-{number}"
        trust = Trust(name, site.issue(name))
        # The same key at every replica, or a single bearer: who may all succeed.
        key = chance.choice([keys[0], None])
        # Refused requests count against their source, so each round comes from another one.
        client = crowd[number % len(crowd)]
        redeemers = [client.at(url) for url in chance.sample(replicas.urls, 3 if key else 1)]
        somewhere = replace(site, exchange=client.at(chance.choice(replicas.urls)))

        redemptions = [partial(redeemer.redeem, trust.pairing, key=key) for redeemer in redeemers]
        answers = _raced(partial(_acknowledged, end, somewhere, trust), redemptions, chance)

        got = {answer.body["access_token"] for answer in answers if answer.status == 200}
        alive = [site.is_active(master, url=url) for master in got for url in replicas.urls]
        late = [client.at(url).redeem(trust.pairing, key=key) for url in replicas.urls]
        assert {_said(answer) for answer in (*answers, *late) if answer.status != 200} <= _refusals(trust), seed
        assert not any(answer.status == 200 for answer in late), seed
        # If the garbage collector deletes the MasterToken in the middle, the replica that consumed the pairing token
        # creates it again, with another uid. It is the same master token, and is not valid.
        assert len({claims_of(master)["jti"] for master in got}) <= 1, seed
        assert not any(alive), seed
        counts.update("redeemed" if answer.status == 200 else "refused" for answer in answers)
        counts["asked"] += len(alive)
    figure(
        f"{rounds} rounds, {counts['redeemed']} redeemed and {counts['refused']} refused in the race, "
        f"{counts['asked']} introspections afterwards, 0 active (seed {seed})"
    )
    poll(lambda: all(_is_ended(master) for master in site.api.find_all("MasterToken", site.namespace)))
    assert replicas.faults() == []


def _acknowledged(end: Ending, site: Site, trust: Trust) -> None:
    """End a trust, and return when that is acknowledged: by the record, by a 200, or because the object is gone."""
    end(site, trust)
    body = site.pairing_token(trust.name)
    if end is endings.order_in_the_pairing_token:
        poll(lambda: site.api.get(body)["status"]["state"] == "Revoked")
    if end is endings.deletion_of_the_pairing_token:
        assert site.api.find(body) is None


def _raced(
    ending: Callable[[], None], redemptions: Sequence[Callable[[], HttpAnswer]], chance: random.Random
) -> list[HttpAnswer]:
    """Return what the redeemers were told, once all have been and the end is acknowledged."""
    offsets = [chance.uniform(0, END_WITHIN), *(chance.uniform(0, REDEEM_WITHIN) for _ in redemptions)]
    calls: list[Callable[[], HttpAnswer | None]] = [ending, *redemptions]
    return [answer for answer in at_once(calls, offsets=offsets).results if answer is not None]


def _refusals(trust: Trust) -> set[tuple[int, str, str]]:
    """Of an object that is gone nothing can be said."""
    texts = (REVOKED_TEXT.format(claims_of(trust.pairing)["jti"]), INVALID_TEXT)
    return {(400, "invalid_request", text) for text in texts}


def _is_ended(master: Json) -> bool:
    return "deletionTimestamp" in master["metadata"] or master.get("status", {}).get("state") == "Revoked"
