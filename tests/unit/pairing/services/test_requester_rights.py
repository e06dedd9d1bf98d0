"""Who gets a pairing token over HTTP: each right, each mode and each kind of caller, against each other."""

import itertools

import pytest

from tallystick.objects.fresh_reader import FreshReader
from tallystick.pairing.domain.requester_mode import RequesterMode
from tallystick.pairing.services.requesters import Requesters
from tallystick.tokens.callers import Callers
from tests.worlds.replica import ISSUER, a_bearer
from tests.worlds.requesting import CREATE, HOME, USE, PolicyReplica, Replica, Requesting

GARBAGE = ("garbage-{}", "{}.b.c", "eyJhbGciOiJub25lIn0.e30.{}", "{}" * 40)
REPLICAS = {RequesterMode.POLICY: PolicyReplica, RequesterMode.SERVICE_ACCOUNT: Replica}
# The namespace that is requested, and the subject that the token gets in each mode; '' for a rejection.
CALLERS = {
    "ServiceAccount": ("edge", "system:serviceaccount:edge:press", "system:serviceaccount:edge:press"),
    "user": ("edge", "press", ""),
    "admin token": (HOME, "bootstrap:admin", f"system:serviceaccount:{HOME}:bootstrap-admin"),
}


@pytest.mark.parametrize(
    ("create", "use", "mode", "caller"),
    list(itertools.product([False, True], [False, True], RequesterMode, CALLERS)),
)
async def test_s4_s5_a_cell_of_the_matrix(create, use, mode, caller):
    asking = Requesting(REPLICAS[mode]())
    namespace, in_policy_mode, in_account_mode = CALLERS[caller]
    asking.cluster.rights = {("press", *CREATE, "edge", "")} if create else set()
    asking.cluster.rights |= {("press", *USE, "edge", "mission-control")} if use else set()
    if caller == "user":
        asking.cluster.user = {"username": "press", "uid": "u", "groups": ["team"]}
    bearer = asking.admin_token() if caller == "admin token" else a_bearer("press", ISSUER)
    subject = in_policy_mode if mode is RequesterMode.POLICY else in_account_mode
    permitted = subject != "" and (caller == "admin token" or (create and use))

    status, body = await asking.ask(bearer, body={"namespace": namespace}, issued=permitted)

    subjects = [asking.subject_of(body["pairing_token"])] if status == 200 else []
    assert (status, subjects, len(asking.objects())) == ((200, [subject], 1) if permitted else (403, [], 0))


async def test_s16_ten_thousand_garbage_bearers_cost_no_api_call():
    replica = PolicyReplica()
    callers = Callers(replica.cluster, replica.clock, issuer=ISSUER)
    reader = FreshReader(replica.cluster, replica.clock)
    requesters = Requesters(callers, replica.signer, reader, replica.clock, namespace=HOME)

    found = {
        await requesters.authenticate(GARBAGE[number % len(GARBAGE)].format(*[number] * 40)) for number in range(10_000)
    }

    assert (found, replica.cluster.calls, replica.cluster.reviews) == ({None}, [], [])
