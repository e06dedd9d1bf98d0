#!/usr/bin/env bash
# Build the image of the operator without Docker and without a registry, for Linux on this machine's processor:
#
#   operator/image.sh NAME:TAG ARCHIVE.tar
#
# buildah runs the Dockerfile as root in a chroot. The base image is a Debian made from Debian's packages, and uv comes
# from its wheel in .tools. The archive is a docker-archive: `docker load`, `podman load` and `ctr images import` read it.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly NAME=${1:?the name and tag of the image} ARCHIVE=${2:?the archive to write}
readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tallystick-image
readonly SUITE=trixie
readonly BASE=localhost/tallystick-base:$SUITE UV_IMAGE=localhost/tallystick-uv:latest
readonly CERTIFICATES=/etc/ssl/certs/ca-certificates.crt
# Storage of its own, so that no image of the user is touched. The base image is built once a week.
readonly BUILDAH=(buildah --root "$CACHE/storage" --runroot "$CACHE/run" --storage-driver vfs)
readonly BASE_DAYS=7

fail() {
  echo "$1" >&2
  exit 1
}

install_tools() {
  if command -v buildah mmdebstrap >/dev/null && [ -e /usr/share/keyrings/debian-archive-keyring.gpg ]; then return; fi
  command -v apt-get >/dev/null || fail "make image needs buildah and mmdebstrap from Debian's packages. With Docker, run: docker build -f operator/Dockerfile -t $NAME ."
  echo "Installing buildah and mmdebstrap from Debian's packages ..."
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    buildah crun mmdebstrap debian-archive-keyring >/dev/null
}

# image_of NAME FOLDER-OR-TAR...: an image of one layer with these files.
image_of() {
  local name=$1 container
  shift
  container=$("${BUILDAH[@]}" from scratch)
  "${BUILDAH[@]}" add --quiet "$container" "$@" / >/dev/null
  "${BUILDAH[@]}" commit --quiet --rm "$container" "$name" >/dev/null
}

build_base() {
  local root=$CACHE/$SUITE.tar
  if [ -n "$(find "$root" -mtime "-$BASE_DAYS" 2>/dev/null)" ] && "${BUILDAH[@]}" inspect "$BASE" >/dev/null 2>&1; then return; fi
  echo "Building the base image from Debian's packages (about 90 seconds, once a week) ..."
  mmdebstrap --quiet --variant=minbase --include=python3,ca-certificates \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$SUITE" "$root.part" http://deb.debian.org/debian
  image_of "$BASE" "$root.part"
  mv "$root.part" "$root"
}

[ "$(uname -s)" = Linux ] || fail "make image runs on Linux. With Docker, run: docker build -f operator/Dockerfile -t $NAME ."
[ "$(id -u)" = 0 ] || fail "make image unpacks a Debian, and must run as root. With Docker, run: docker build -f operator/Dockerfile -t $NAME ."
install_tools
mkdir -p "$CACHE" "$(dirname "$ARCHIVE")"
build_base
image_of "$UV_IMAGE" .tools/bin/uv
echo "Building $NAME ..."
# This machine's authorities serve the build alone, and those of the base image stay in the image.
"${BUILDAH[@]}" bud --quiet --isolation chroot --network host --format docker \
  --volume "$CERTIFICATES:$CERTIFICATES:ro" \
  --build-arg "BASE=$BASE" --build-arg "UV_IMAGE=$UV_IMAGE" \
  --build-arg "VERSION=${NAME##*:}" --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
  --ignorefile operator/Dockerfile.dockerignore --file operator/Dockerfile --tag "$NAME" .
rm -f "$ARCHIVE"
"${BUILDAH[@]}" push --quiet "$NAME" "docker-archive:$ARCHIVE:$NAME"
echo "$NAME: $ARCHIVE ($(du -m "$ARCHIVE" | cut -f1) MB)"
