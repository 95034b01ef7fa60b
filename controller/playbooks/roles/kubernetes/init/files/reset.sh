#!/bin/sh
# reset.sh BIN SOCKET: the node is in no cluster any more; where no init and no join has changed anything, neither does this. Without an API server kubeadm takes most of a minute to find that out.
set -u
PATH=$1:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
here=/etc/kubernetes
[ -n "$(ls "$here/kubeadm-formed.yaml" "$here/kubeadm-joined" "$here"/kubeadm-*.begun 2>/dev/null)" ] || exit 0
# Until it is done the next init or join has to do it.
[ ! -e "$here/kubeadm-formed.yaml" ] || : >"$here/kubeadm-init.begun"
[ ! -e "$here/kubeadm-joined" ] || : >"$here/kubeadm-join.begun"
rm -f "$here/kubeadm-formed.yaml" "$here/kubeadm-joined"
timeout 180 kubeadm reset --force --cri-socket "$2" </dev/null
status=$?
[ $status != 0 ] || rm -f "$here"/kubeadm-*.begun
exit $status
