#!/bin/sh
# restore-snapshot.sh SNAPSHOT DATA BIN: makes a member's data of the snapshot, beside what is there, and swaps them. May be
# repeated: whatever it finds in the way is kept as before-restore-<time>.
set -eu
snapshot=$1 data=$2 tool=$3/etcdctl
if [ -x "$3/etcdutl" ]; then tool=$3/etcdutl; fi
set -a
. /etc/etcd/etcd.env
. /etc/etcd/bootstrap.env
set +a
rm -rf "$data/.restore"
set -- --name "$ETCD_NAME" --data-dir "$data/.restore" --initial-cluster "$ETCD_INITIAL_CLUSTER" \
  --initial-cluster-token "$ETCD_INITIAL_CLUSTER_TOKEN" --initial-advertise-peer-urls "$ETCD_INITIAL_ADVERTISE_PEER_URLS"
# Revisions must not be given a second time: who watches would not see that they changed.
if "$tool" snapshot restore --help 2>&1 | grep -q -- --bump-revision; then
  set -- "$@" --bump-revision 1000000000 --mark-compacted
fi
# The tool reads ETCD_ variables, too; only those above are meant.
env -i PATH="$PATH" ETCDCTL_API=3 "$tool" snapshot restore "$snapshot" "$@"
chown -R etcd:etcd "$data/.restore"
if [ -e "$data/member" ]; then
  kept=$data/before-restore-$(date -u +%Y%m%dT%H%M%SZ)
  mkdir -m 0700 "$kept"
  mv "$data/member" "$kept/"
  echo "what was there is in $kept"
fi
mv "$data/.restore/member" "$data/member"
rmdir "$data/.restore"
sync
