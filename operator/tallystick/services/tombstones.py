"""End a master token in its own record, so that it stays ended without its PairingToken."""

from tallystick.api.master_token import MASTER_TOKENS, MasterToken, MasterTokenState
from tallystick.domain.revocation import master_status
from tallystick.services.ports import Clock, Cluster, ConflictError, NotFoundError, UnavailableError

MOST_TRIES = 5


async def write_tombstone(cluster: Cluster, clock: Clock, namespace: str, name: str) -> None:
    """Write state Revoked into a MasterToken. One that is gone, or revoked already, needs none.

    Raises:
        ClusterError: it is not known whether it was written.
    """
    for _ in range(MOST_TRIES):
        try:
            raw = await cluster.get(MASTER_TOKENS, namespace, name)
            token = MasterToken.model_validate(raw)
            if token.status.state is MasterTokenState.REVOKED:
                return
            status = master_status(token, MasterTokenState.REVOKED, clock.now()).to_json()
            await cluster.replace_status(MASTER_TOKENS, {**raw, "status": status})
        except NotFoundError:
            return
        except ConflictError:
            continue  # its record was being written by somebody else; look again
        else:
            return
    raise UnavailableError(f"MasterToken {namespace}/{name} is being written by others")
