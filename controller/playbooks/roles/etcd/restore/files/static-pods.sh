#!/bin/sh
# static-pods.sh stop | start PORT: the kubelet ends the pods whose manifests are away, and starts them when they are back.
set -eu
here=/etc/kubernetes/manifests
away=/etc/kubernetes/manifests-of-restore
now() { cut -d. -f1 /proc/uptime; }
case $1 in
  stop)
    [ -d "$here" ] || exit 0
    mkdir -p -m 0700 "$away"
    for pod in kube-apiserver kube-controller-manager kube-scheduler; do
      if [ -e "$here/$pod.yaml" ]; then mv "$here/$pod.yaml" "$away/"; fi
    done
    end=$(($(now) + 120))
    while pgrep -x kube-apiserver >/dev/null; do
      if [ "$(now)" -ge "$end" ]; then
        echo "kube-apiserver still runs two minutes after its manifest went; does the kubelet run? (journalctl -u kubelet)" >&2
        exit 1
      fi
      sleep 1
    done
    ;;
  start)
    [ -d "$away" ] || exit 0
    for manifest in "$away"/*.yaml; do
      if [ -e "$manifest" ]; then mv "$manifest" "$here/"; fi
    done
    rmdir "$away"
    end=$(($(now) + 300))
    until pgrep -x kube-apiserver >/dev/null; do
      if [ "$(now)" -ge "$end" ]; then
        echo "kube-apiserver has not come back within five minutes (journalctl -u kubelet; port $2)" >&2
        exit 1
      fi
      sleep 1
    done
    ;;
esac
