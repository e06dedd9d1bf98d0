"""How a service signs its own tokens with a mounted join key, and verifies those of other services.

    keys = JoinKeys("/etc/join-key")
    token = keys.sign("artifactory", lifetime=300)
    claims = keys.verify(token)

A service needs `cryptography` and PyJWT for this package, and no other dependency of the operator.
"""

from tallystick.clusterkeys.client.mounted import JoinKeyFilesError, JoinKeys
from tallystick.clusterkeys.client.service_tokens import InvalidServiceTokenError, JoinKeyMismatchError

__all__ = ["InvalidServiceTokenError", "JoinKeyFilesError", "JoinKeyMismatchError", "JoinKeys"]
