#!/bin/sh
# Requests a pairing token and stores it in the file `token`; prints its namespace and lifetime, or the error.
#   request.sh ISSUER USE-CASE BEARER-FILE
umask 077
curl --silent --cacert ca.crt --request POST "$1/v1/service_trust/pairing/$2" \
  --header "Authorization: Bearer $(cat "$3")" --output answer
exec python3 - <<'END'
import json, pathlib

answer = json.loads(pathlib.Path("answer").read_text())
if "detail" in answer:
    print(answer["detail"])
else:
    pathlib.Path("token").write_text(answer["pairing_token"])
    print(f"namespace {answer['namespace']}, valid for {answer['expires_in']} seconds")
END
