#!/bin/sh
# remove-leftovers.sh BIN
set -e
systemctl disable --quiet --now kubelet.service || true
if grep -qs '^# Written by kk' /etc/systemd/system/kk-certs-renew.timer; then
  systemctl disable --quiet --now kk-certs-renew.timer || true
  systemctl stop kk-certs-renew.service || true
  rm -f /etc/systemd/system/kk-certs-renew.service /etc/systemd/system/kk-certs-renew.timer
fi
rm -f "$1/kubeadm" "$1/kubelet" "$1/kubectl"
# Last: its absence says that all is done.
rm -f /etc/systemd/system/kubelet.service
systemctl daemon-reload
