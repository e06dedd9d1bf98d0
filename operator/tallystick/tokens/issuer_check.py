"""Compare the issuer of a process with that of the stored keyring, before the process leads or serves.

A changed setting would make all tokens invalid. So a replica with another issuer is not ready, and those that run with
the right one go on.
"""

from tallystick.crypto.keyring import KeyringError
from tallystick.objects.labels import KEYRING_SECRET
from tallystick.objects.ports import Cluster, NotFoundError
from tallystick.schema.builtin import SECRETS
from tallystick.tokens.keyrings import stored_keyring
from tallystick.tokens.lost_keys import another_issuer_text


async def issuer_problem(cluster: Cluster, *, namespace: str, issuer: str) -> str:
    """Return why a process of this issuer must wait; '' if it need not. May raise ClusterError.

    A keyring that does not exist has no issuer yet. One that is damaged is reported by the leader.
    """
    try:
        stored = stored_keyring(await cluster.get(SECRETS, namespace, KEYRING_SECRET)).issuer
    except (NotFoundError, KeyringError):
        return ""
    return "" if stored == issuer else another_issuer_text(namespace, stored=stored, issuer=issuer)
