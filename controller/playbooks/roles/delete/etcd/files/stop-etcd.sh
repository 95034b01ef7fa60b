#!/bin/sh
set -e
for unit in etcd-backup.timer etcd-backup.service etcd.service; do
  [ -e "/etc/systemd/system/$unit" ] || continue
  # Data that nobody will read again need no orderly end.
  timeout 30 systemctl stop "$unit" || systemctl kill --signal=KILL "$unit" || true
  systemctl disable --quiet "$unit" 2>/dev/null || true
done
rm -f /etc/systemd/system/etcd-backup.timer /etc/systemd/system/etcd-backup.service
# Last: its absence says that all is done.
rm -f /etc/systemd/system/etcd.service
systemctl daemon-reload
systemctl reset-failed etcd.service etcd-backup.service 2>/dev/null || true
