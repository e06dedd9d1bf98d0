#!/usr/bin/env bash
# Build the files of a release into a new folder: wheel, sdist, chart, manifests, SBOM and checksums.
#
#   .github/scripts/assets.sh build/release
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly OUT=${1:?the folder for the files}
rm -rf "$OUT"
mkdir -p "$OUT"
make --silent .venv/ready manifests
cp dist/tallystick.yaml dist/tallystick.crds.yaml "$OUT/"
.tools/bin/uv build --quiet --out-dir "$OUT" .
rm -f "$OUT/.gitignore"
# What the image and the wheel install, from the lock file.
.tools/bin/uv export --quiet --locked --no-dev --no-emit-project --preview-features sbom-export \
  --format cyclonedx1.5 --output-file "$OUT/tallystick.cdx.json" >/dev/null
"${HELM_PROGRAM:-helm}" package --destination "$OUT" helm/tallystick >/dev/null
(cd "$OUT" && sha256sum -- * >SHA256SUMS)
ls -l "$OUT"
