"""Every state of the keyring: a first one is created only while no live object names a key, and a lost one is reported.

The table of `STATES` is the table of docs/backup.md.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.controller.cache import ObjectCache
from tallystick.errors import InvalidSettingError, NotYetError
from tallystick.objects.ports import NotFoundError, RefusedError, UnavailableError
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import Resource
from tallystick.tokens.key_care import RECOUNT_SECONDS, KeyCare, KeyPolicy, Served
from tallystick.tokens.keyrings import Keyrings, keyring_secret, stored_keyring
from tests.builders import ISSUER, a_key, a_keyring, issued_status, raw_master_token, raw_pairing_token, used_status
from tests.fakes import NOON, FakeClock, FakeCluster, MemoryAudit
from tests.worlds.connection_world import a_token, raw_connection

Json = dict[str, Any]

NAMESPACE, NAME = "tallystick-system", "tallystick-keyring"
FIRST = a_key("first").key_id


class Installation:
    """A leader's care for the keys, beside the objects of users."""

    def __init__(self) -> None:
        self.clock, self.audit = FakeClock(), MemoryAudit()
        self.cluster = FakeCluster(clock=self.clock)
        self.cache = ObjectCache(KINDS)
        self.changes = 0
        self.restart()

    def restart(self) -> None:
        self.keyrings = Keyrings(self.cluster, self.clock, namespace=NAMESPACE, issuer=ISSUER)
        self.care = KeyCare(
            self.keyrings,
            Served(cluster=self.cluster, kinds=KINDS, objects=self.cache),
            KeyPolicy(),
            clock=self.clock,
            audit=self.audit,
            on_age=lambda _: None,
            on_change=self._note_change,
        )

    def _note_change(self) -> None:
        self.changes += 1

    def put(self, resource: Resource, body: Json, *, watched: bool = True) -> None:
        stored = self.cluster.put(resource, body)
        if watched:
            self.cache.observe(resource, "ADDED", stored)

    def put_keyring(self, *names: str, issuer: str = ISSUER) -> None:
        self.cluster.put(SECRETS, keyring_secret(a_keyring(*names, issuer=issuer), NAMESPACE))

    @property
    def secret(self) -> Json | None:
        return self.cluster.peek(SECRETS, NAMESPACE, NAME)

    @property
    def reason(self) -> str | None:
        try:
            self.keyrings.keyring()
        except NotYetError as problem:
            return problem.reason
        return None


@pytest.fixture
def installation() -> Installation:
    return Installation()


LIVE = {
    "an active pairing token": (PAIRING_TOKENS, raw_pairing_token(status=issued_status())),
    "a used one, whose client can repeat": (PAIRING_TOKENS, raw_pairing_token(status=used_status())),
    "a master token": (MASTER_TOKENS, raw_master_token(status={"state": "Active"})),
    "a master token without a status": (MASTER_TOKENS, raw_master_token()),
    "an active connection token": (CONNECTION_CONFIGURATIONS, raw_connection(status={"tokens": [a_token(kid=FIRST)]})),
    "a pending one": (
        CONNECTION_CONFIGURATIONS,
        raw_connection(status={"tokens": [a_token(kid=FIRST, state="Pending")]}),
    ),
}
ENDED = {
    "an expired pairing token": (PAIRING_TOKENS, raw_pairing_token(status=issued_status(life=0))),
    "a revoked one": (PAIRING_TOKENS, raw_pairing_token(status=issued_status(state="Revoked"))),
    "one that waits for its first token": (PAIRING_TOKENS, raw_pairing_token()),
    "a revoked master token": (MASTER_TOKENS, raw_master_token(revoked=True)),
    "an expired master token": (MASTER_TOKENS, raw_master_token(expirationTime="2029-01-01T00:00:00Z")),
    "a revoked connection token": (
        CONNECTION_CONFIGURATIONS,
        raw_connection(status={"tokens": [a_token(kid=FIRST, state="Revoked")]}),
    ),
}


@pytest.mark.parametrize("live", LIVE.values(), ids=LIVE.keys())
@pytest.mark.parametrize("watched", [True, False], ids=["watched", "only listed"])
async def test_i25_no_first_keyring_is_made_while_a_live_object_names_a_key(installation, live, watched):
    installation.put(*live, watched=watched)

    await installation.care.start()
    await installation.care.look()

    assert installation.secret is None
    assert (installation.reason, installation.audit.lines) == ("KeyringMissing", [])
    assert installation.care.why_not_ready == (
        f"Secret {NAMESPACE}/{NAME} with the signing keys does not exist. Restore it from a backup (docs/backup.md), "
        "or start over: tallystick signing-keys new-keyring."
    )


@pytest.mark.parametrize("ended", ENDED.values(), ids=ENDED.keys())
async def test_a_first_keyring_is_made_beside_objects_that_name_no_key_and_is_audited(installation, ended):
    installation.put(*ended)

    await installation.care.start()

    (line,) = installation.audit.lines
    (entry,) = stored_keyring(installation.secret).entries
    assert (line.action, line.outcome, line.facts) == ("create-keyring", "ok", {"kid": entry.key.key_id})
    assert (installation.reason, installation.care.why_not_ready) == (None, None)


@pytest.mark.parametrize("plural", [kind.resource.plural for kind in KINDS if kind.signing_keys])
@pytest.mark.parametrize("error", [RefusedError("forbidden"), NotFoundError("no such kind"), UnavailableError("down")])
async def test_i25_a_kind_that_cannot_be_listed_counts_as_naming_a_key(installation, plural, error):
    installation.cluster.fail_next("list", plural, error)

    await installation.care.start()
    refused = installation.secret is None, installation.care.why_not_ready
    await installation.care.look()

    assert refused[0]
    assert f"{plural} cannot be listed, so any signing key may be in use: {error}." in refused[1]
    assert installation.secret is not None  # the kind can be listed again
    assert installation.care.why_not_ready is None


async def test_a_first_keyring_is_audited_once_if_the_answer_to_its_create_is_lost(installation):
    installation.cluster.fail_next("create", "secrets", UnavailableError("down"), applied=True)

    with pytest.raises(UnavailableError):
        await installation.care.start()
    await installation.care.start()
    await installation.care.look()

    assert [line.action for line in installation.audit.lines] == ["create-keyring"]
    assert installation.audit.lines[0].facts["kid"] in installation.keyrings.ids


async def test_two_leaders_make_one_keyring_and_one_audit_line(installation):
    installation.cluster.before_next("create", "secrets", lambda: installation.put_keyring("first"))

    await installation.care.start()

    assert (installation.keyrings.ids, installation.audit.lines) == ({FIRST}, [])


async def test_a_first_keyring_is_made_when_the_last_token_that_names_a_key_has_expired(installation):
    installation.put(PAIRING_TOKENS, raw_pairing_token(status=issued_status(life=30)))
    await installation.care.start()

    installation.clock.advance(RECOUNT_SECONDS)
    await installation.care.look()

    assert installation.secret is not None
    assert installation.changes == 1


@dataclass(frozen=True)
class State:
    """How a keyring gets lost, and what the processes say of it."""

    change: Callable[[Json], object]
    reason: str
    text: str


def _data(value: Any) -> Callable[[Json], object]:
    return lambda body: body.update(data=value)


def _content(edit: Callable[[Json], object]) -> Callable[[Json], object]:
    def change(body: Json) -> None:
        content = json.loads(base64.b64decode(body["data"]["keyring.json"]))
        edit(content)
        body["data"]["keyring.json"] = base64.b64encode(json.dumps(content).encode()).decode()

    return change


def _bytes(raw: bytes) -> Callable[[Json], object]:
    return _data({"keyring.json": base64.b64encode(raw).decode()})


STATES = {
    "no data": State(_data(None), "KeyringUnusable", "data key keyring.json is missing, or is not base64"),
    "another data key": State(_data({"other": "e30="}), "KeyringUnusable", "data key keyring.json is missing"),
    "an empty value": State(_bytes(b""), "KeyringUnusable", "the keyring cannot be read"),
    "no JSON": State(_bytes(b"keys: []"), "KeyringUnusable", "the keyring cannot be read"),
    "cut off": State(_bytes(b'{"version":1,"issuer":"https'), "KeyringUnusable", "the keyring cannot be read"),
    "a list": State(_bytes(b"[]"), "KeyringUnusable", "the keyring cannot be read"),
    "no keys": State(_content(lambda it: it.update(keys=[])), "KeyringUnusable", "a keyring holds 1 to 64 keys, not 0"),
    "keys of the wrong type": State(_content(lambda it: it.update(keys={})), "KeyringUnusable", "the wrong type"),
    "an edited key": State(
        _content(lambda it: it["keys"][0].update(keyID="A" * 43)), "KeyringUnusable", "does not match its keyID"
    ),
    "of a later version": State(_content(lambda it: it.update(version=2)), "KeyringUnusable", "use the release"),
    "of another issuer": State(
        _content(lambda it: it.update(issuer="https://other.example.com")),
        "KeyringUnusable",
        "its issuer is https://other.example.com, and --issuer is https://trust.example.com",
    ),
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
async def test_a_keyring_that_becomes_unusable_is_reported_left_alone_and_used_again_when_it_is_back(
    installation, state
):
    installation.put_keyring("first")
    good = installation.secret
    await installation.care.start()
    installation.cluster.edit(SECRETS, NAMESPACE, NAME, state.change)
    damaged = installation.secret

    await installation.care.look()
    await installation.care.look()
    lost = installation.reason, installation.changes, installation.secret == damaged

    installation.cluster.edit(SECRETS, NAMESPACE, NAME, lambda body: body.update(data=good["data"]))
    why = installation.care.why_not_ready
    await installation.care.look()

    assert lost == (state.reason, 1, True)
    assert state.text in why
    assert why.endswith("or start over: tallystick signing-keys new-keyring.")
    assert (installation.reason, installation.changes, installation.care.why_not_ready) == (None, 2, None)
    assert installation.cluster.writes() == []


@pytest.mark.parametrize(
    "state", [pytest.param(state, id=name) for name, state in STATES.items() if name != "of another issuer"]
)
async def test_a_leader_starts_with_an_unusable_keyring_and_says_so(installation, state):
    installation.put_keyring("first")
    installation.cluster.edit(SECRETS, NAMESPACE, NAME, state.change)

    await installation.care.start()

    assert (installation.reason, installation.cluster.writes()) == (state.reason, [])
    assert state.text in installation.care.why_not_ready


async def test_a_process_whose_issuer_is_wrong_from_the_start_does_not_start(installation):
    installation.put_keyring("first", issuer="https://other.example.com")

    with pytest.raises(InvalidSettingError):
        await installation.care.start()


@pytest.mark.parametrize("error", [RefusedError("forbidden: secrets"), UnavailableError("down")])
async def test_a_leader_leads_while_it_may_not_read_the_keyring_and_waits_for_an_api_server_that_is_down(
    installation, error
):
    installation.cluster.fail_next("get", "secrets", error)

    if isinstance(error, UnavailableError):
        with pytest.raises(UnavailableError):
            await installation.care.start()
        return
    await installation.care.start()
    assert installation.care.why_not_ready == "the signing keys cannot be read now; try again"
    await installation.care.look()
    assert (installation.care.why_not_ready, installation.changes) == (None, 1)


async def test_a_deleted_keyring_is_not_trusted_from_memory_and_is_used_again_when_it_is_restored(installation):
    installation.put_keyring("first")
    installation.put(MASTER_TOKENS, raw_master_token())
    backup = installation.secret
    await installation.care.start()
    installation.cluster.remove(SECRETS, NAMESPACE, NAME)

    await installation.care.look()
    lost = installation.reason, installation.care.missing, installation.secret
    installation.cluster.put(SECRETS, backup)
    await installation.care.look()

    assert lost == ("KeyringMissing", {FIRST}, None)
    assert (installation.reason, installation.care.missing, installation.changes) == (None, frozenset(), 2)


# One key of several.


async def test_a_key_that_is_gone_from_the_keyring_is_noted_on_the_secret_and_removed_when_it_is_back(installation):
    installation.put_keyring("second")
    installation.put(MASTER_TOKENS, raw_master_token())

    await installation.care.start()
    noted = installation.secret["metadata"]["annotations"]
    exchange = Keyrings(installation.cluster, installation.clock, namespace=NAMESPACE, issuer=ISSUER)
    await exchange.refresh()
    text = installation.care.remarks["signingKeys"]
    whole = keyring_secret(a_keyring("first", "second"), NAMESPACE)["data"]
    installation.cluster.edit(SECRETS, NAMESPACE, NAME, lambda body: body.update(data=whole))
    await installation.care.look()

    assert (noted, exchange.noted_missing) == ({"tallystick.dev/missing-keys": FIRST}, {FIRST})
    assert text.startswith(f"Valid tokens name signing keys that Secret {NAME} lacks: {FIRST}.")
    assert (installation.care.missing, installation.care.remarks, installation.changes) == (frozenset(), {}, 1)
    assert installation.secret["metadata"]["annotations"] == {}


async def test_what_others_record_on_the_secret_survives_every_write(installation):
    installation.put_keyring("first")

    def decorate(body: Json) -> None:
        body["metadata"].update(
            annotations={"backup.example.com/last": "monday"},
            labels={**body["metadata"]["labels"], "team": "trust"},
            finalizers=["example.com/keep"],
        )
        body["data"]["notes"] = "aGVsbG8="

    installation.cluster.edit(SECRETS, NAMESPACE, NAME, decorate)
    installation.put(MASTER_TOKENS, raw_master_token(kid="B" * 43))
    await installation.care.start()  # notes the missing key
    await installation.keyrings.rotate("ES256")

    meta = installation.secret["metadata"]
    assert meta["annotations"]["backup.example.com/last"] == "monday"
    assert (meta["labels"]["team"], meta["finalizers"]) == ("trust", ["example.com/keep"])
    assert installation.secret["data"]["notes"] == "aGVsbG8="
    assert len(stored_keyring(installation.secret).entries) == 2


async def test_no_key_is_removed_while_another_one_is_missing(installation):
    installation.put_keyring("second", "third")
    installation.put(MASTER_TOKENS, raw_master_token())
    await installation.care.start()
    installation.clock.advance(7200)
    await installation.keyrings.refresh()

    await installation.care.run()

    assert len(stored_keyring(installation.secret).entries) == 2


@pytest.mark.parametrize("listed", [True, False], ids=["only listed", "not listed"])
async def test_i25_a_key_is_removed_only_if_a_fresh_listing_of_every_kind_names_it_nowhere(installation, listed):
    installation.put_keyring("first", "second")
    installation.put(MASTER_TOKENS, raw_master_token(), watched=False)
    await installation.care.start()
    installation.clock.advance(7200)
    await installation.keyrings.refresh()
    if not listed:
        installation.cluster.fail_next("list", "mastertokens", RefusedError("forbidden"))

    if listed:
        await installation.care.run()
    else:
        with pytest.raises(NotYetError):
            await installation.care.run()

    assert FIRST in {entry.key.key_id for entry in stored_keyring(installation.secret).entries}
    assert installation.clock.now() > NOON


async def test_a_missing_key_is_no_longer_reported_when_the_last_token_that_names_it_is_gone(installation):
    installation.put_keyring("second")
    installation.put(MASTER_TOKENS, raw_master_token())
    await installation.care.start()
    (master,) = installation.cluster.all(MASTER_TOKENS)
    meta = master["metadata"]
    installation.cache.forget(MASTER_TOKENS, meta["namespace"], meta["name"], meta["uid"])

    await installation.care.look()
    still = installation.care.missing
    installation.clock.advance(RECOUNT_SECONDS)
    await installation.care.look()

    assert (still, installation.care.missing) == ({FIRST}, frozenset())
    assert installation.secret["metadata"]["annotations"] == {}
