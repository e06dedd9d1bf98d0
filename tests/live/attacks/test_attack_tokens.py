"""No bad token is taken for a good one, wherever it is presented, and the attempt changes nothing (S1, S16, R94)."""

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from tallystick.crypto.keys import SigningKey
from tallystick.install.installation import EXCHANGE, Installation
from tallystick.tokens.callers import CACHE_SECONDS
from tallystick.tokens.keyrings import REFRESH_SECONDS
from tests.harness.api import Api
from tests.harness.attacks import EVERYWHERE, GoodCallers, Place, Row, Sources, Victim, answered, present, send_form
from tests.harness.audit_trail import Trail
from tests.harness.forged_tokens import Forge, keyring_of, twin_of
from tests.harness.mutations import Mutation, mutations
from tests.harness.objects import read_token
from tests.harness.pairing_site import REVOKED_TEXT, Site, claims_of, make_site
from tests.harness.proofs import Figure
from tests.harness.system import System
from tests.live.attacks.attack_cases_tokens import ROWS
from tests.live.attacks.attack_states import LONG, prepare, release

Json = dict[str, Any]
Make = Callable[[str], str]

EXCHANGE_USER = Installation().service_account(EXCHANGE)
WRITES = ("create", "replace", "replace_status", "delete", "apply", "list")
# A piece of so many characters betrays a token; names and ids that both may hold are not spelled as in a token.
PIECE = 20
RUN = re.compile(rf"[A-Za-z0-9_.+/=-]{{{PIECE},}}")


@contextmanager
def victim_of(admin: Api, make_namespace: Make, system: System) -> Iterator[Victim]:
    """Prepare a namespace with good tokens in every state."""
    elsewhere = make_namespace("elsewhere")
    with Sources(system).fresh() as client:
        site = make_site(admin, make_namespace("attacked"), client)
        spare = prepare(site, elsewhere, system)
        spare["elsewhere"] = elsewhere
        spare["api token"] = admin.request_token(site.namespace, "verifier")
        spare["foreign token"] = admin.request_token(site.namespace, "verifier", "https://elsewhere.example")
        pairing, master = site.issue(**LONG), site.paired("paired")["access_token"]
        forges = forge_of(pairing, site, system), forge_of(master, site, system)
        yield Victim(site, *forges, spare, GoodCallers(site))
        release(site)


def forge_of(token: str, site: Site, system: System) -> Forge:
    """Make bad tokens of this one, with the key that signed it."""
    key = keyring_of(site.api).by_id(read_token(token).header["kid"])
    assert key is not None
    return Forge(token, key, SigningKey.generate("ES256"), int(system.clock.now().timestamp()))


@pytest.fixture
def victim(admin: Api, make_namespace: Make, system: System) -> Iterator[Victim]:
    with victim_of(admin, make_namespace, system) as prepared:
        yield prepared


@pytest.fixture
def sources(system: System) -> Iterator[Sources]:
    with Sources(system) as opened:
        yield opened


# All together.


def test_every_row_of_the_table_has_a_name_of_its_own() -> None:
    assert len({(row.id, row.where) for row in ROWS}) == len(ROWS)


@pytest.mark.proof(gate=1, soak=10)
def test_the_whole_table_changes_nothing_and_calls_no_api_for_what_is_not_ours(
    victim: Victim, sources: Sources, system: System, rounds: int, figure: Figure
) -> None:
    """Each bad token gets its exact refusal wherever it is sent; the test lists each row with another answer."""
    trail = Trail(system.plane.audit_log)
    settle(victim, trail)
    before, mark, log = world(victim), trail.mark(), LogsOf(system)
    cheap, dear = [row for row in ROWS if not row.reads], [row for row in ROWS if row.reads]
    used: list[dict[str, float]] = []

    wrong: list[str] = []
    for number in range(rounds):
        with api_calls(victim, used):
            wrong += attack(victim, sources, cheap, number)
        wrong += attack(victim, sources, dear, number)

    figure(
        f"{rounds} rounds of {len(ROWS)} attacks, {len(cheap)} of them without a call of the API: {len(wrong)} let in"
    )
    assert not wrong, "\n".join(wrong)
    assert used == [{}] * rounds
    assert trail.writes(victim.spare["elsewhere"], since=mark, user=EXCHANGE_USER) == []
    # S29: a reuse is told once a minute for each object. Nothing else is written.
    written = trail.writes(victim.site.namespace, since=mark, user=EXCHANGE_USER)
    assert {write.rpartition(" ")[0] for write in written} <= {"create events"}
    assert differences(before, world(victim)) == []
    said = log.since()
    assert "Traceback" not in said
    assert '"level": "error"' not in said
    logged = pieces(said)
    assert sum(leaks(token, logged) for token in presented(victim)) == 0
    owner = SigningKey.generate("ES256")
    assert victim.site.is_active(victim.master.token)
    assert victim.site.exchange.redeem(victim.pairing.token, key=owner).status == 200
    assert (
        victim.site.api.get(victim.site.pairing_token())["status"]["redemption"]["clientKeyThumbprint"] == owner.key_id
    )


def attack(victim: Victim, sources: Sources, rows: list[Row], seed: int) -> list[str]:
    """Send the rows in an order of their own, and describe each answer that is not the expected refusal."""
    shuffled = random.Random(seed).sample(rows, len(rows))  # noqa: S311 - an order, not a secret
    differences = (row.difference(victim, sources.next()) for row in shuffled)
    return [difference for difference in differences if difference]


@contextmanager
def api_calls(victim: Victim, used: list[dict[str, float]]) -> Iterator[None]:
    """Count the calls of the API by verb, less those that the exchange makes by itself or for each good caller."""
    exchange, callers = victim.site.exchange, victim.callers.issued
    verbs, known = (*WRITES, "get", "review"), len(callers)
    before, began = {verb: exchange.api_calls(verb) for verb in verbs}, time.monotonic()
    yield
    took = time.monotonic() - began
    own = {"get": 1 + took // REFRESH_SECONDS, "review": 1 + len(callers) - known + took // CACHE_SECONDS}
    over = {verb: exchange.api_calls(verb) - before[verb] - own.get(verb, 0) for verb in verbs}
    used.append({verb: calls for verb, calls in over.items() if calls > 0})


def settle(victim: Victim, trail: Trail) -> None:
    """Let the controller finish what the preparation has made it do."""
    trail.settled(victim.site.api, victim.site.namespace)
    trail.settled(victim.site.api, victim.spare["elsewhere"])


def world(victim: Victim) -> dict[str, Json]:
    """Everything that is stored in the victim's namespaces, down to the version of each object."""
    api, namespaces = victim.site.api, (victim.site.namespace, victim.spare["elsewhere"])
    found = [
        (f"{kind} {namespace}/{one['metadata']['name']}", one)
        for kind in ("PairingToken", "MasterToken", "Secret")
        for namespace in namespaces
        for one in api.find_all(kind, namespace)
    ]
    return dict(found)


def differences(before: dict[str, Json], after: dict[str, Json]) -> list[str]:
    """Name the objects that are not what they were; what they hold is not for a test's output."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def presented(victim: Victim) -> list[str]:
    """All that somebody has presented as a token, or might have."""
    kept = [text for text in victim.spare.values() if isinstance(text, str)]
    return [victim.pairing.token, victim.master.token, victim.site.bearer, *victim.callers.issued, *kept, *victim.sent]


def pieces(said: str) -> set[str]:
    """All pieces of a log that could be of a token."""
    return {piece for run in RUN.findall(said) for piece in _pieces_of(run)}


def leaks(token: str, logged: set[str]) -> bool:
    """Whether a piece of a token is in a log."""
    return any(piece in logged for piece in _pieces_of(token))


def _pieces_of(text: str) -> Iterator[str]:
    return (text[at : at + PIECE] for at in range(len(text) - PIECE + 1))


class LogsOf:
    """What the exchange has written to its log and audit log since this was made."""

    def __init__(self, system: System) -> None:
        self._files = [system.up.folder / name for name in ("exchange.log", "audit-exchange.jsonl")]
        self._starts = [file.stat().st_size for file in self._files]

    def since(self) -> str:
        return "".join(map(_from, self._files, self._starts))


def _from(file: Path, start: int) -> str:
    return file.read_bytes()[start:].decode()


# At random.


@pytest.mark.proof(gate=150, soak=2000)
def test_no_random_mutation_of_a_token_is_accepted(
    victim: Victim, sources: Sources, rounds: int, figure: Figure
) -> None:
    places = (Place.TOKEN, Place.INTROSPECT, Place.REVOKE)
    good = (victim.pairing.token, victim.master.token, victim.site.bearer)
    sent = 0

    # Against the running exchange; the verifier alone is tried in tests/unit/crypto/test_mutations.py.
    @settings(
        max_examples=rounds, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(mutations, mutations)
    def mutate(of_pairing: Mutation, of_master: Mutation) -> None:
        nonlocal sent
        texts = (of_pairing.of(victim.pairing, good[1:]), of_master.of(victim.master, (good[0], good[2])))
        assume(all(texts) and not set(texts) & set(good))
        for text in texts:
            client = sources.next()
            said = {place: answered(present(victim, client, text, place)) for place in places}
            assert said == {place: EVERYWHERE[place] for place in places}
            sent += len(places)

    mutate()

    figure(f"{rounds} mutations of each of two tokens, {sent} requests, none accepted")
    assert victim.site.is_active(victim.master.token)
    assert victim.site.exchange.redeem(victim.pairing.token).status == 200


# What is the same token.


def test_the_twin_of_a_signature_is_no_second_token(site: Site, system: System) -> None:
    token = site.issue()
    forge = forge_of(token, site, system)
    # Everybody can compute it: ECDSA has two signatures for each (r, s).
    twin = forge.with_signature(twin_of(forge.signature))

    answers = [site.exchange.redeem(text) for text in (twin, token, twin, token)]

    assert sorted(answer.status for answer in answers) == [200, 400, 400, 400]
    assert len(site.api.find_all("MasterToken", site.namespace)) == 1


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "pairing_token", "\N{SNOWMAN}"])
def test_a_wrong_hint_hides_no_token(site: Site, hint: str) -> None:
    token = site.issue()
    form, caller = [("token", token), ("token_type_hint", hint)], {"Authorization": f"Bearer {site.bearer}"}

    described = send_form(site.exchange, "/oauth2/introspect", form, caller)
    revoked = send_form(site.exchange, "/oauth2/revoke", form)

    # RFC 7662 2.1, RFC 7009 2.1: a hint is a hint.
    assert described.must_succeed()["active"]
    assert revoked.status == 200
    assert site.exchange.redeem(token).description == REVOKED_TEXT.format(claims_of(token)["jti"])
