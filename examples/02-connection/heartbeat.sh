#!/bin/sh
# Sends one heartbeat: the token, the name of the instance and its deployment type. An instance sends one every 15 seconds.
#   heartbeat.sh TOKEN-FILE INSTANCE [DEPLOYMENT-TYPE]
exec curl --silent --cacert ca.crt "$(cat heartbeat-url)" \
  --header "Authorization: Bearer $(cat "$1")" --header 'Content-Type: application/json' \
  --data "{\"instance_id\": \"$2\", \"deployment_type\": \"${3:-Kubernetes}\"}" --write-out ' HTTP %{http_code}\n'
