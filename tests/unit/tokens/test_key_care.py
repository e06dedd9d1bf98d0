"""The care for the signing keys rotates by age, and keeps each key that a valid token names."""

from datetime import timedelta

import pytest

from tallystick.controller.cache import ObjectCache
from tallystick.crypto.keyring import Keyring
from tallystick.errors import NotYetError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.tokens.key_care import KeyCare, KeyPolicy, Served
from tallystick.tokens.keyrings import Keyrings
from tests.builders import ISSUER, raw_pairing_token
from tests.fakes import FakeClock, FakeCluster, MemoryAudit

DAY = timedelta(days=1)


class Cared:
    def __init__(self) -> None:
        self.clock, self.audit = FakeClock(), MemoryAudit()
        self.cluster = FakeCluster(clock=self.clock)
        self.keyrings = Keyrings(self.cluster, self.clock, namespace="tallystick-system", issuer=ISSUER)
        self.cache = ObjectCache(KINDS)
        self.ages: list[float] = []
        policy = KeyPolicy(max_age=30 * DAY)
        self.changes = 0
        self.care = KeyCare(
            self.keyrings,
            Served(cluster=self.cluster, kinds=KINDS, objects=self.cache),
            policy,
            clock=self.clock,
            audit=self.audit,
            on_age=self.ages.append,
            on_change=self.note_change,
        )

    def note_change(self) -> None:
        self.changes += 1

    async def days_later(self, days: int) -> Keyring:
        self.clock.advance((days * DAY).total_seconds())
        await self.care.look()
        await self.care.run()
        return self.keyrings.keyring()

    def hold_a_token_of(self, key_id: str) -> None:
        """Let the cache show a token of this key that is valid for a day."""
        expires = (self.clock.now() + DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = raw_pairing_token(status={"state": "Active", "keyID": key_id, "kid": key_id, "expirationTime": expires})
        body["metadata"].setdefault("resourceVersion", "1")
        self.cache.observe(PAIRING_TOKENS, "ADDED", body)

    def actions(self) -> list[str]:
        return [line.action for line in self.audit.lines]


@pytest.fixture
def cared() -> Cared:
    return Cared()


async def test_a_young_key_is_left_alone_and_its_age_is_published(cared: Cared) -> None:
    await cared.days_later(0)
    await cared.days_later(30)

    assert cared.actions() == ["create-keyring"]
    assert cared.ages == [0.0, (30 * DAY).total_seconds()]


async def test_an_old_key_is_rotated_and_the_one_before_it_is_retired(cared: Cared) -> None:
    first = await cared.days_later(0)
    rotated = await cared.days_later(31)
    retired = await cared.days_later(1)

    assert cared.actions() == ["create-keyring", "rotate-key", "retire-key"]
    assert [entry.key.key_id for entry in rotated.entries][:1] == [first.entries[0].key.key_id]
    assert len(rotated.entries) == 2
    assert retired.entries == rotated.entries[1:]


async def test_a_key_that_a_valid_token_names_is_kept_until_the_token_expires(cared: Cared) -> None:
    first = (await cared.days_later(0)).entries[0].key.key_id
    await cared.days_later(31)
    cared.hold_a_token_of(first)

    kept = await cared.days_later(0)
    cared.clock.advance(3_600 * 2)
    still_kept = await cared.days_later(0)
    gone = await cared.days_later(1)

    assert [keyring.by_id(first) is not None for keyring in (kept, still_kept, gone)] == [True, True, False]


async def test_without_a_keyring_the_care_is_tried_again_later(cared: Cared) -> None:
    with pytest.raises(NotYetError):
        await cared.care.run()

    assert cared.ages == []
