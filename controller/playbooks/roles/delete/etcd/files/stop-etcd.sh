#!/bin/sh
for unit in etcd-backup.timer etcd-backup.service etcd.service; do
  # Data that nobody will read again need no orderly end.
  timeout 30 systemctl stop "$unit" 2>/dev/null || systemctl kill --signal=KILL "$unit" 2>/dev/null || true
done
systemctl reset-failed etcd.service etcd-backup.service 2>/dev/null || true
