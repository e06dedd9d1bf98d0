#!/bin/sh
# Writes the values of a Secret to the files of a folder, as kubelet does for a pod that mounts the Secret.
#   mount.sh SECRET FOLDER [NAMESPACE]
set -eu
rm -rf "$2"
mkdir -m 0700 "$2"
umask 0377
kubectl get secret "$1" ${3:+--namespace "$3"} \
  -o go-template='{{range $key, $value := .data}}{{$key}} {{$value}}{{"\n"}}{{end}}' |
  while read -r key value; do
    printf %s "$value" | base64 -d > "$2/$key"
  done
