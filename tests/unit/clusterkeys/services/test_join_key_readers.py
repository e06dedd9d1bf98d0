"""No service meets a key that it does not accept, whenever it reads its copy, if it does so within the overlap.

A service reads its copy anew at least every `delay`, and a token lives for `life`; delay + life <= overlap. For each
key, each namespace that signs with it and each namespace that accepts it, two things follow from that. Every copy has
accepted the key for `delay` when the first one signs with it. And no copy gives it up until `delay + life` after the
last one has signed with it. With both >= overlap, no token is refused; the times of all reads need not be tried.
"""

import random
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from tallystick.clusterkeys.domain.join_key_copies import keys_in
from tallystick.objects.ports import ClusterError
from tests.unit.clusterkeys.vectors import a_join_key, a_master_key
from tests.worlds.faults import Fault
from tests.worlds.join_key_world import PROVIDED, JoinKeyWorld, targets

OVERLAP = 600.0
NAMESPACES = ("edge", "rt", "mc")
EVER = datetime(2000, 1, 1, tzinfo=UTC)
ROUNDS = 25


class Timeline:
    """When each copy began and ceased to accept each key, and to sign with it; None: since ever, or until now."""

    def __init__(self, world):
        self.world = world
        self.accepts = defaultdict(lambda: [None, None])
        self.signs = defaultdict(lambda: [None, None])
        self._known = {namespace: self._copy(namespace) for namespace in NAMESPACES}
        for namespace, keys in self._known.items():
            self.accepts[keys[0], namespace] = [EVER, None]
            self.signs[keys[0], namespace] = [EVER, None]
        perform = world.cluster._perform

        def watched(call, act):
            try:
                return perform(call, act)
            finally:
                self._note()

        world.cluster._perform = watched

    def _copy(self, namespace):
        return [key.fingerprint for key in keys_in(self.world.secret(namespace) or {})]

    def _note(self):
        now = self.world.clock.now()
        for namespace in NAMESPACES:
            before, after = self._known[namespace], self._copy(namespace)
            self._known[namespace] = after
            for key in set(after) - set(before):
                self.accepts[key, namespace] = [now, None]
            for key in set(before) - set(after):
                self.accepts[key, namespace][1] = now
            for key in set(after[:1]) - set(before[:1]):
                self.signs[key, namespace] = [self.signs[key, namespace][0] or now, None]
            for key in set(before[:1]) - set(after[:1]):
                self.signs[key, namespace][1] = now

    def margins(self):
        """The seconds by which each key was accepted before it signed, and after."""
        for (key, signer), (first, last) in self.signs.items():
            for verifier in NAMESPACES:
                begin, end = self.accepts[key, verifier]
                assert begin is not None, f"{verifier} never accepted {key}, with which {signer} signs"
                if first != EVER:
                    yield (first - begin).total_seconds()
                if last is not None and end is not None:
                    yield (end - last).total_seconds()


async def a_replaced_key(seed, *, overlap="10m"):
    """Replace a key while writes take their time, the controller dies, and the user changes his mind."""
    chance = random.Random(seed)  # noqa: S311 - the same in every run
    world = JoinKeyWorld()
    world.provide(a_join_key("0"))
    await world.issue(secretRef={"name": PROVIDED}, targets=targets(*NAMESPACES[1:]), overlap=overlap)
    timeline = Timeline(world)
    changes = 0
    for _ in range(chance.randint(12, 24)):
        if chance.random() < 0.3:
            changes += 1
            world.provide(a_join_key(str(changes)))
        if chance.random() < 0.2:
            world.open_master(a_master_key("newer"), a_master_key())
        if chance.random() < 0.3:
            world.restart()
        world.cluster.plan_from_now(
            {chance.randint(1, 12): chance.choice(list(Fault))} if chance.random() < 0.5 else {}
        )
        pauses = {number: chance.choice([0, 0, 1, 7, 45]) for number in range(1, 40)}
        world.cluster.hooks = {number: lambda by=seconds: world.clock.advance(by) for number, seconds in pauses.items()}
        with suppress(ClusterError):
            await world.reconcile()
        world.clock.advance(chance.choice([1, 30, 299, OVERLAP - 1, OVERLAP, OVERLAP + 1]))
    world.cluster.plan_from_now({})
    world.cluster.hooks.clear()
    for _ in range(4):
        await world.reconcile_until_done()
        world.clock.advance(OVERLAP)
    return world, timeline, changes


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_every_key_is_accepted_for_the_overlap_before_it_signs_and_after(seed):
    world, timeline, changes = await a_replaced_key(seed)

    margins = list(timeline.margins())

    assert [margin for margin in margins if margin < OVERLAP] == []
    assert world.held() == world.held("rt") == world.held("mc") == [a_join_key(str(changes))]


async def test_the_timeline_finds_a_replacement_that_is_too_fast():
    found = [list((await a_replaced_key(seed, overlap="4m"))[1].margins()) for seed in range(10)]

    assert any(margin < OVERLAP for margins in found for margin in margins)
