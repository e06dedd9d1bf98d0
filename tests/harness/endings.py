"""All the ways in which a trust ends: by order, by possession, by deletion, and by what comes in its place."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tallystick.crypto.keys import SigningKey
from tests.harness.objects import must
from tests.harness.pairing_site import Site

REVOKED = {"spec": {"revoked": True}}
FOREIGN_FINALIZER = "example.com/held"


@dataclass(frozen=True, slots=True)
class Trust:
    """What can be ended: the name of a PairingToken, its token, and its master token where it has been redeemed."""

    name: str
    pairing: str = field(repr=False)
    master: str = field(repr=False, default="")
    master_id: str = ""
    key: SigningKey | None = field(repr=False, default=None)


Ending = Callable[[Site, Trust], object]


def order_in_the_pairing_token(site: Site, trust: Trust) -> object:
    return site.api.merge(site.pairing_token(trust.name), REVOKED).must_succeed()


def order_in_the_master_token(site: Site, trust: Trust) -> object:
    return site.api.merge(site.master_token(trust.master_id), REVOKED).must_succeed()


def possession_of_the_pairing_token(site: Site, trust: Trust) -> object:
    """Ends a pairing token that has not been redeemed, and nothing else (S29)."""
    return site.exchange.revoke(trust.pairing).must_succeed()


def possession_of_the_master_token(site: Site, trust: Trust) -> object:
    return site.exchange.revoke(trust.master, key=trust.key).must_succeed()


def higher_serial(site: Site, trust: Trust) -> object:
    """Ends the pairing token alone."""
    return site.api.merge(site.pairing_token(trust.name), {"spec": {"serial": 2}}).must_succeed()


def deletion_of_the_pairing_token(site: Site, trust: Trust) -> object:
    return site.api.delete(site.pairing_token(trust.name)).must_succeed()


def deletion_that_orphans(site: Site, trust: Trust) -> object:
    """What `--cascade=orphan` asks for; the object stays until the garbage collector has let its objects go."""
    return site.api.delete(site.pairing_token(trust.name), propagation="Orphan").must_succeed()


def deletion_that_a_finalizer_holds(site: Site, trust: Trust) -> object:
    body = site.pairing_token(trust.name)
    site.api.merge(body, {"metadata": {"finalizers": [FOREIGN_FINALIZER]}}).must_succeed()
    site.api.delete(body).must_succeed()
    return must(site.api.find(body))["metadata"]["deletionTimestamp"]


def creation_again(site: Site, trust: Trust) -> object:
    """The same name, another uid (S24)."""
    deletion_of_the_pairing_token(site, trust)
    return site.api.create(site.pairing_token(trust.name)).must_succeed()


def deletion_of_the_master_token(site: Site, trust: Trust) -> object:
    return site.api.delete(site.master_token(trust.master_id)).must_succeed()


def name_of(end: Ending) -> str:
    """A name that an object may have."""
    return end.__name__.replace("_", "-")


def let_go(site: Site) -> None:
    """Take the foreign finalizers away, so that what they hold can go."""
    for body in site.api.find_all("PairingToken", site.namespace):
        if body["metadata"].get("finalizers") == [FOREIGN_FINALIZER]:
            held = site.pairing_token(body["metadata"]["name"])
            site.api.merge(held, {"metadata": {"finalizers": None}}).must_succeed()
