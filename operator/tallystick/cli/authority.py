"""The CA of the API server, read again when its file changes, as in a pod."""

import ssl

from tallystick.kube.connection import Connection
from tallystick.runtime.renewed_files import RenewedFiles


def follow_authority(connection: Connection, files: RenewedFiles) -> None:
    """Trust each new CA of the API server from now on.

    A former CA stays trusted until the process ends: a TLS context can only add certificates.
    """
    path, context = connection.ca_file, connection.ssl_context
    if path is None or not isinstance(context, ssl.SSLContext):
        return

    def checked(content: bytes) -> str:
        pem = content.decode()
        ssl.create_default_context(cadata=pem)
        return pem

    files.add(path, "the certificate authority", checked, lambda pem: context.load_verify_locations(cadata=pem))
