"""W3's limit for a check-in: verify the copy and the proof of its key by the same means, and answer.

python -m tests.bench.fleet.least '{"port": ..., "issuer": ..., ...}'
"""

import json
import ssl
import sys
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tallystick.crypto.dpop import verify_proof
from tallystick.crypto.keys import verifying_keys
from tallystick.crypto.tokens import verify
from tallystick.fleet.domain.copies import DEVICE
from tallystick.fleet.domain.next_check_in import CHECK_IN_PATH

Json = dict[str, Any]


def serve(port: int, certificate: str, key: str, issuer: str, jwks: Json, period: int) -> None:
    """Answer each check-in with `period` seconds to wait, if copy and proof are good and belong together."""
    keys = verifying_keys(jwks)

    async def check_in(request: web.Request) -> web.Response:
        await request.read()
        now = datetime.now(UTC)
        shown = request.headers["Authorization"].removeprefix("DPoP ")
        verified = verify(shown, keys, profile=DEVICE, issuer=issuer, now=now)
        url = issuer + request.path
        proven = verify_proof(request.headers["DPoP"], method="POST", urls=[url], now=now, access_token=shown)
        if proven != verified.key_thumbprint:
            return web.Response(status=401)
        return web.Response(status=204, headers={"Retry-After": str(period)})

    app = web.Application()
    app.router.add_post(CHECK_IN_PATH, check_in)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    web.run_app(app, host="127.0.0.1", port=port, ssl_context=context, access_log=None, print=None)


def main(arguments: str) -> None:
    reported: dict[str, Any] = json.loads(arguments)
    serve(**reported)


if __name__ == "__main__":
    main(sys.argv[1])
