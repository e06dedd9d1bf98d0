#!/usr/bin/env bash
# Push a packaged chart to a registry as an OCI artifact, and sign it by its digest without a key.
#
#   .github/scripts/push-chart.sh dist/tallystick-0.1.0.tgz ghcr.io/OWNER/charts
set -euo pipefail

readonly PACKAGE=${1:?the packaged chart} REGISTRY=${2:?the registry and folder}
name=$(helm show chart "$PACKAGE" | sed -n 's/^name: //p')
# Helm writes `Digest: sha256:...` to standard error.
digest=$(helm push "$PACKAGE" "oci://$REGISTRY" 2>&1 | tee /dev/stderr | sed -n 's/^Digest: \(sha256:[0-9a-f]\{64\}\)$/\1/p')
[ -n "$digest" ] || {
  echo "helm push printed no digest, so that the chart cannot be signed." >&2
  exit 1
}
cosign sign --yes "$REGISTRY/$name@$digest"
