#!/bin/sh
# join.sh BIN SOCKET ETCD NODE SNAPSHOTS: kubeadm join with kubeadm-join.yaml, and as a control plane with what is in kubeadm-join-control-plane.yaml.
# What is left of a join that did not come to its end is removed before. A member of etcd that is listed is never wiped while
# the others cannot do without it.
set -u
PATH=$1:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
socket=$2
here=/etc/kubernetes
begun=$here/kubeadm-join.begun
umask 077
work=$(mktemp -d /run/kk-kubeadm.XXXXXX)
trap 'rm -rf "$work"' EXIT

# shellcheck source-path=SCRIPTDIR/../../init/files source=evidence.sh
. "${0%/*}/evidence.sh"
reset() { timeout 180 kubeadm reset --force --cri-socket "$socket" </dev/null 2>&1 | masked; }
now() { cut -d. -f1 /proc/uptime; }
# The cluster can take a member out: its API writes nothing without a quorum of etcd.
answers() {
  kubectl --kubeconfig "$here/admin.conf" --request-timeout 10s --namespace kube-system get configmap kubeadm-config >/dev/null 2>&1
}

# A node that is in a cluster is left as it is: kubeadm's own check would come after the mark that makes the next try reset it.
in_cluster() {
  {
    server=$(sed -n 's/^ *server: *//p' "$here/kubelet.conf" 2>/dev/null | head -n 1)
    echo "NODE_IN_CLUSTER: this node is in a cluster already${server:+ ($server)}: $1. Nothing was changed."
    echo "$2"
  } >&2
  exit 1
}
away="If it is to leave that cluster, and everything on it may go, \`delete cluster\` takes it out; else take it out of the groups of the inventory."
if [ -e "$here/kubeadm-formed.yaml" ]; then
  in_cluster "it was formed on this node" "Put this node first in the group control_plane again. $away"
elif [ ! -e "$begun" ] && [ -n "$(ls "$here/kubelet.conf" "$here"/manifests/*.yaml 2>/dev/null)" ]; then
  in_cluster "it has a kubelet.conf or static pods in $here, and no join of kk made them" "$away"
fi
earlier=
if [ -e "$begun" ]; then
  earlier=yes
  echo "an earlier kubeadm join did not come to its end: what it left is removed"
  if [ "$3" = internal ] && [ -e "$here/manifests/etcd.yaml" ] && [ -e "$here/admin.conf" ]; then
    systemctl start kubelet
    end=$(($(now) + 180))
    until answers; do
      if [ "$(now)" -ge "$end" ]; then
        echo "ETCD_QUORUM_LOST: the join of this control plane was interrupted, etcd lists it as a member, and without it there is no quorum within three minutes." >&2
        echo "Its data stays. Bring the other control planes back, or restore etcd by hand from a snapshot (in $5 on the first one; docs/etcd.md, Stacked etcd, says how); then apply --resume." >&2
        exit 1
      fi
      sleep 2
    done
  fi
  [ ! -e "$here/admin.conf" ] || cp "$here/admin.conf" "$work/admin.conf"
  [ ! -e "$here/kubelet.conf" ] || : >"$work/registered"
  reset
  # A node of this name that is Ready may not join. A worker cannot take its own out; without its kubelet it is not Ready for long.
  if [ -e "$work/registered" ]; then
    kubectl --kubeconfig "$work/admin.conf" --request-timeout 20s delete node "$4" --ignore-not-found 2>&1 || sleep 60
  fi
fi
: >"$begun" && sync
cat "$here/kubeadm-join.yaml" >"$work/config.yaml"
[ ! -e "$here/kubeadm-join-control-plane.yaml" ] || cat "$here/kubeadm-join-control-plane.yaml" >>"$work/config.yaml"
{
  kubeadm join --config "$work/config.yaml" </dev/null 2>&1
  echo $? >"$work/status"
} | masked | tee "$work/said"

if [ "$(cat "$work/status")" != 0 ]; then
  evidence join "$work/said" "$begun" >&2
  # What an earlier try has left is still to be removed; this one has left nothing.
  if only_looked "$work/said"; then
    [ -n "$earlier" ] || { rm -f "$begun" && sync; }
    exit 1
  fi
  # A worker that is not in takes no part: its kubelet would go on trying. One that is registered is taken out by the next try.
  if [ ! -e "$here/admin.conf" ]; then
    if [ -e "$here/kubelet.conf" ]; then systemctl stop kubelet; else reset >/dev/null; fi
  fi
  exit 1
fi
: >"$here/kubeadm-joined" && rm -f "$begun" && sync
