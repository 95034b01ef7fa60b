#!/bin/sh
left=
for unit in etcd-backup.timer etcd-backup.service etcd.service; do
  # Data that nobody will read again need no orderly end. Killed, it is not to be started again: stopped once more.
  timeout 30 systemctl stop "$unit" 2>/dev/null ||
    { systemctl kill --signal=KILL "$unit" && timeout 30 systemctl stop "$unit"; } 2>/dev/null || true
  case $(systemctl show --property=ActiveState --value "$unit") in
    '' | inactive | failed) ;;
    *) left="$left $unit" ;;
  esac
done
systemctl reset-failed etcd.service etcd-backup.service 2>/dev/null || true
[ -z "$left" ] && exit 0
echo "Still at work:$left. See why it does not end (systemctl status, journalctl -u), end it, and apply again." >&2
exit 1
