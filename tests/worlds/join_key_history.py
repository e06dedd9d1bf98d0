"""What every writer of join keys has to keep to, looked at after each call of the API server."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from tallystick.clusterkeys.domain.join_key_copies import keys_in
from tallystick.clusterkeys.domain.keys import ClusterKey
from tallystick.clusterkeys.domain.sealing import SealProblem, open_sealed, read_sealed
from tallystick.objects.ports import ClusterError
from tests.fakes import Call
from tests.unit.clusterkeys.vectors import a_master_key
from tests.worlds.join_key_world import NAME, SEALED, JoinKeyWorld

Json = dict[str, Any]

MASTERS = (a_master_key(), a_master_key("newer"))


class History:
    """The keys that copies have signed with, and each moment at which one was lost, or shared before it was sealed."""

    def __init__(self, world: JoinKeyWorld) -> None:
        self.world = world
        self.signed: list[str] = []
        self.lost: list[str] = []
        self.unsealed: list[str] = []
        self._ever_sealed: set[str] = set()
        perform = world.cluster._perform

        def watched(call: Call, act: Callable[[], Json]) -> Json:
            try:
                return perform(call, act)
            finally:
                self._look(call)

        world.cluster._perform = watched  # type: ignore[method-assign]

    def _look(self, call: Call) -> None:
        sealed = set(self._sealed())
        self._ever_sealed |= sealed
        clear = [keys_in(body) for body in self.world.copies()]
        for keys in clear:
            if keys and keys[0].fingerprint not in self.signed:
                self.signed.append(keys[0].fingerprint)
            self.unsealed += [f"{call}: {key.fingerprint}" for key in keys if key.fingerprint not in self._ever_sealed]
        recorded = self._recorded()
        held = sealed | {key.fingerprint for keys in clear for key in keys}
        if recorded and not recorded & held:
            self.lost.append(f"{call}: {recorded}")

    def _recorded(self) -> set[str]:
        """The key that signs; or the next one, while a replacement at once takes its place."""
        raw = self.world.raw()
        if not raw or "deletionTimestamp" in raw["metadata"]:
            return set()
        status = raw.get("status", {})
        next_one = status.get("replacement", {})
        accepted = [next_one["fingerprint"]] if next_one.get("phase") == "Publishing" else []
        return {status["fingerprint"], *accepted} if "fingerprint" in status else set()

    def _sealed(self) -> list[str]:
        texts = self.world.values(name=SEALED)
        return [found for found in map(_fingerprint_in, texts.values()) if found is not None]


@lru_cache(maxsize=4096)
def _fingerprint_in(text: str) -> str | None:
    unverified = read_sealed(text)
    if isinstance(unverified, SealProblem):
        return None
    key = open_sealed(text, MASTERS, unverified.about)
    return key.fingerprint if isinstance(key, ClusterKey) else None


async def restart_until_done(world: JoinKeyWorld, most: int = 12) -> None:
    """A controller that dies of each failure, and one after it that knows nothing."""
    for _ in range(most):
        world.restart()
        try:
            result = await world.reconcile()
        except ClusterError:
            continue
        if not result.failed:
            return
    raise AssertionError(f"{NAME} never came to rest")
