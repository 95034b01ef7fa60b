#!/bin/sh
# check-snapshot.sh SNAPSHOT BIN: its digest, if it can be restored.
set -eu
if [ ! -f "$1" ]; then
  [ ! -d "$1" ] || echo "$1 is a folder on this node: remove it." >&2
  echo "There is no snapshot at \"$1\" on this node. Bring it to all members: kk-controller cp FILE etcd:$1" >&2
  exit 1
fi
tool=$2/etcdctl
if [ -x "$2/etcdutl" ]; then tool=$2/etcdutl; fi
ETCDCTL_API=3 "$tool" snapshot status "$1" >/dev/null
sha256sum <"$1" | cut -d' ' -f1
