#!/bin/sh
# reset.sh BIN SOCKET: the node is in no cluster any more. Without an API server kubeadm takes most of a minute to find that out.
set -u
PATH=$1:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
timeout 180 kubeadm reset --force --cri-socket "$2" </dev/null
status=$?
rm -f /etc/kubernetes/kubeadm-formed.yaml /etc/kubernetes/kubeadm-joined /etc/kubernetes/kubeadm-*.begun
exit $status
