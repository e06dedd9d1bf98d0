"""One service of a cluster. It signs a token, or verifies one, with the join key in a folder.

service.py FOLDER sign SERVICE > token
service.py FOLDER verify < token
"""

import sys

from tallystick.clusterkeys.client import InvalidServiceTokenError, JoinKeys

folder, action, *service = sys.argv[1:]
keys = JoinKeys(folder)
if action == "sign":
    print(keys.sign(service[0], lifetime=300))
else:
    try:
        claims = keys.verify(sys.stdin.read().strip())
    except InvalidServiceTokenError as error:
        sys.exit(f"error: {error}")
    print(f"a token of {claims['iss']} in cluster {claims['aud']}")
