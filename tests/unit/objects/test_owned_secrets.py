"""Secrets of our objects: an admission rule that decides before the name is looked for hides no Secret of ours."""

import pytest

from tallystick.controller.cache import ObjectCache
from tallystick.objects.owned_secrets import OwnedSecrets
from tallystick.objects.ports import AlreadyExistsError, RefusedError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.tokens import PAIRING_SECRET
from tallystick.registry import KINDS
from tallystick.schema.builtin import SECRETS
from tests.fakes import FakeCluster

SECRET = {"metadata": {"name": "x", "namespace": "edge"}, "type": "Opaque", "data": {}}


@pytest.mark.parametrize(("exists", "error"), [(True, AlreadyExistsError), (False, RefusedError)])
async def test_a_quota_that_the_secret_itself_has_exhausted_is_no_rejection(exists, error):
    cluster = FakeCluster()
    if exists:
        cluster.put(SECRETS, SECRET)
    cluster.refusing["create", "secrets"] = RefusedError("exceeded quota: one")

    with pytest.raises(error):
        await OwnedSecrets(cluster, ObjectCache(KINDS), PAIRING_TOKENS, PAIRING_SECRET).create(SECRET)
