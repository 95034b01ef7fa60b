#!/bin/sh
# remove-leftovers.sh BIN
set -e
systemctl disable --quiet --now containerd.service || true
for name in containerd containerd-shim containerd-shim-runc-v1 containerd-shim-runc-v2 containerd-stress ctr runc crictl; do
  rm -f "$1/$name"
done
# Those that bear kk's mark, in a folder that may have others.
for file in /etc/containerd/config.toml /etc/containerd/certs.d/*/hosts.toml /etc/crictl.yaml; do
  if grep -qs '^# Made by kk' "$file"; then rm -f "$file"; fi
done
rmdir /etc/containerd/certs.d/* /etc/containerd/certs.d /etc/containerd 2>/dev/null || true
# Last: its absence says that all is done.
rm -f /etc/systemd/system/containerd.service
systemctl daemon-reload
