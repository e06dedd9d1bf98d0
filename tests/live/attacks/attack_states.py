"""Good tokens whose time is over or has not come: class C4 of the catalogue (the state of the redemption)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tallystick.crypto.keys import SigningKey
from tallystick.pairing.domain.tokens import pairing_token_id
from tests.harness.attacks import EVERYWHERE, INVALID, Expected, Place, Row, Victim, present, refused, unavailable
from tests.harness.exchange import Exchange, HttpAnswer
from tests.harness.objects import secret_of, wait_for_state, wait_until_gone
from tests.harness.pairing_site import REVOKED_TEXT, USED_TEXT, Site, claims_of
from tests.harness.system import System

Json = dict[str, Any]

FINALIZER = "tests.tallystick.dev/hold"
SHORT = timedelta(seconds=10)
# So that a token stays what it is, however long a test takes.
LONG = {"ttl": "24h"}
BEING_RECORDED = unavailable("the controller has not recorded the pairing token yet; try again")


def prepare(site: Site, elsewhere: str, system: System) -> dict[str, Any]:
    """Bring one PairingToken of a namespace into each state, and return their tokens by it.

    `elsewhere` is another namespace, with a PairingToken `site-a` of its own.
    """
    # First of all, because it moves the time of all.
    expired = site.issue("expired", ttl="10s")
    system.clock.advance(SHORT)
    wait_for_state(site.api, site.pairing_token("expired"), "Expired")
    key = SigningKey.generate("ES256")
    metadata = {"name": "site-a", "namespace": elsewhere}
    site.api.create({**site.pairing_token(**LONG), "metadata": metadata}).must_succeed()
    tokens = {name: site.issue(name, **LONG) for name in ("used", "bound", "revoked", "superseded", "deleting")}
    site.exchange.redeem(tokens["used"]).must_succeed()
    site.exchange.redeem(tokens["bound"], key=key).must_succeed()
    _edit(site, "revoked", {"spec": {"revoked": True}})
    _edit(site, "superseded", {"spec": {"serial": 2}})
    site.issued("superseded", serial=2)
    _edit(site, "deleting", {"metadata": {"finalizers": [FINALIZER]}})
    site.api.delete(site.pairing_token("deleting")).must_succeed()
    wait_for_state(site.api, site.pairing_token("revoked"), "Revoked")
    again = {name: _made_again(site, name) for name in ("recreated", "restored")}
    return {**tokens, **again, "expired": expired, "key": key, "pending": _never_recorded(site)}


def release(site: Site) -> None:
    """Let what is being deleted go."""
    _edit(site, "deleting", {"metadata": {"finalizers": None}})


def _edit(site: Site, name: str, patch: Json) -> None:
    site.api.merge(site.pairing_token(name), patch).must_succeed()


def _made_again(site: Site, name: str) -> str:
    """The token of an object that was deleted and made again from its own backup: uid, status and all."""
    token, body = site.issue(name, **LONG), site.pairing_token(name, **LONG)
    backup = site.api.get(body)
    site.api.delete(body).must_succeed()
    wait_until_gone(site.api, body)
    site.api.delete(secret_of(body))  # the garbage collector would; on a new plane it takes half a minute
    wait_until_gone(site.api, secret_of(body))
    if name == "restored":
        kept = {key: backup["metadata"][key] for key in ("name", "namespace", "uid", "generation")}
        site.api.create({**backup, "metadata": kept}).must_succeed()
    else:
        site.api.create(body).must_succeed()
    wait_for_state(site.api, body, "Active")
    return token


def _never_recorded(site: Site) -> Json:
    """The claims that an object's token would have, whose Secret's name is taken by somebody else."""
    body = site.pairing_token("pending")
    taken = {**secret_of(body), "type": "Opaque", "stringData": {"note": "somebody else's"}}
    site.api.create(taken).must_succeed()
    uid = site.api.create(body).must_succeed()["metadata"]["uid"]
    thing = {"kind": "PairingToken", "ns": site.namespace, "name": "pending", "uid": uid, "serial": 1}
    return {"jti": pairing_token_id(uid, 1), "tallystick": thing}


def _spare(name: str) -> Callable[[Victim], str]:
    return lambda victim: str(victim.spare[name])


def _in_words(text: str, name: str) -> Callable[[Victim], Expected]:
    return lambda victim: refused(text.format(claims_of(victim.spare[name])["jti"]))


def _ended(victim: Victim) -> Expected:
    status = victim.site.api.get(victim.site.pairing_token("expired"))["status"]
    return refused(f"pairing token {status['tokenID']} expired at {status['expirationTime']}")


def _pending(victim: Victim) -> str:
    return victim.pairing.with_claims(**victim.spare["pending"])


def _elsewhere(victim: Victim) -> str:
    return victim.pairing.about(ns=victim.spare["elsewhere"])


def _row(name: str, token: Callable[[Victim], str], place: Place, expected: Any) -> Row:
    return Row(name, lambda victim, client: present(victim, client, token(victim), place), expected, True, place)


def _rows(name: str, token: Callable[[Victim], str], redeemed: Any, *, revocable: bool = False) -> list[Row]:
    """Present a token everywhere, but not for revocation where it is right to obey."""
    places = [place for place in Place if place is not Place.REVOKE or not revocable]
    return [_row(name, token, place, redeemed if place is Place.TOKEN else EVERYWHERE[place]) for place in places]


def _with_key(name: str, key: Callable[[Victim], SigningKey]) -> Callable[[Victim, Exchange], HttpAnswer]:
    return lambda victim, client: client.redeem(victim.spare[name], key=key(victim))


def _fresh(_: Victim) -> SigningKey:
    return SigningKey.generate("ES256")


ALL = [
    *_rows("expired", _spare("expired"), _ended),
    *_rows("used", _spare("used"), _in_words(USED_TEXT, "used")),
    *_rows("used by a key", _spare("bound"), _in_words(USED_TEXT, "bound")),
    Row("used, now with a key", _with_key("used", _fresh), _in_words(USED_TEXT, "used"), reads=True),
    Row("used by a key, now by another", _with_key("bound", _fresh), _in_words(USED_TEXT, "bound"), reads=True),
    *(
        row
        for state in ("revoked", "superseded", "deleting")
        for row in _rows(state, _spare(state), _in_words(REVOKED_TEXT, state))
    ),
    *(row for state in ("recreated", "restored") for row in _rows(state, _spare(state), INVALID)),
    *_rows("of the same name elsewhere", _elsewhere, INVALID),
    *_rows("pending", _pending, BEING_RECORDED, revocable=True),
]
