#!/bin/sh
# renew.sh BIN: the token and the certificates of the control plane, as in kubeadm-renewal.yaml, are in the cluster for two more hours.
set -eu
PATH=$1:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 077
work=$(mktemp -d /run/kk-kubeadm.XXXXXX)
trap 'rm -rf "$work" /etc/kubernetes/kubeadm-renewal.yaml' EXIT
cat /etc/kubernetes/kubeadm-renewal.yaml /etc/kubernetes/kubeadm-settings.yaml >"$work/config.yaml"
# Both print secrets.
for phase in "bootstrap-token" "upload-certs --upload-certs"; do
  # shellcheck disable=SC2086
  kubeadm init phase $phase --config "$work/config.yaml" </dev/null >"$work/said" 2>&1 || {
    sed -E 's/\b[a-z0-9]{6}\.[a-z0-9]{16}\b/(token)/g; s/\b[0-9a-f]{64}\b/(key)/g' "$work/said" | tail -n 10 >&2
    exit 1
  }
done
