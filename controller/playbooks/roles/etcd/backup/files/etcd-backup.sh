#!/bin/sh
# Takes a snapshot of etcd from this node's member, proves that it can be read, and keeps the newest few. What became of it
# is in status.json beside them. Settings: ETCD_BACKUP_DIR, ETCD_BACKUP_KEEP, and those of etcdctl (/etc/etcd/etcdctl.env).
set -eu
umask 077
: "${ETCD_BACKUP_DIR:?}" "${ETCD_BACKUP_KEEP:?}" "${ETCDCTL_ENDPOINTS:?}"
PATH=$(dirname "$0"):$PATH
name=etcd-$(date -u +%Y%m%dT%H%M%SZ).db
part=$ETCD_BACKUP_DIR/.$name.part
said=$ETCD_BACKUP_DIR/.said
tool=etcdctl
# From 3.6 on only etcdutl reads snapshots.
if command -v etcdutl >/dev/null; then tool=etcdutl; fi

# Written beside and renamed, so that who reads it never sees a half. `text`: plain words, made fit for JSON.
tell() {
  ok=$1
  text=$(printf %s "$2" | tr -d '\000-\037"\\' | cut -c1-500)
  last=$(sed -n 's/.*"last_good":"\([^"]*\)".*/\1/p' "$ETCD_BACKUP_DIR/status.json" 2>/dev/null || true)
  if [ "$ok" = true ]; then last=$name; fi
  printf '{"at":"%s","ok":%s,"snapshot":"%s","last_good":"%s","message":"%s"}\n' \
    "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$ok" "$name" "$last" "$text" >"$ETCD_BACKUP_DIR/.status.part"
  mv "$ETCD_BACKUP_DIR/.status.part" "$ETCD_BACKUP_DIR/status.json"
}
failed() {
  rm -f "$part" "$part.part"
  tell false "$1: $(tail -n 3 "$said" 2>/dev/null || true)"
  echo "$1" >&2
  cat "$said" >&2 || true
  rm -f "$said"
  exit 1
}

rm -f "$ETCD_BACKUP_DIR"/.etcd-*.part "$ETCD_BACKUP_DIR"/.etcd-*.part.part
etcdctl snapshot save "$part" >"$said" 2>&1 || failed 'the snapshot could not be taken'
"$tool" snapshot status "$part" >"$said" 2>&1 || failed 'the snapshot cannot be read'
# On the disk before older ones go.
sync "$part" 2>/dev/null || sync
mv "$part" "$ETCD_BACKUP_DIR/$name"
# The newest have the greatest names.
find "$ETCD_BACKUP_DIR" -maxdepth 1 -name 'etcd-*.db' -printf '%f\n' | sort -r | tail -n "+$((ETCD_BACKUP_KEEP + 1))" |
  while read -r old; do rm -f "$ETCD_BACKUP_DIR/$old"; done
tell true "hash, revision, keys, size: $(tail -n 1 "$said")"
rm -f "$said"
echo "$ETCD_BACKUP_DIR/$name"
