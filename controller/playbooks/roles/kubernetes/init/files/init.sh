#!/bin/sh
# init.sh BIN SOCKET SKIPPED: kubeadm init with kubeadm-init.yaml (secrets) and kubeadm-settings.yaml (none). What is left of one that
# did not come to its end is removed before, but its pki stays: etcd may hold objects that were signed with it already.
set -u
PATH=$1:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
socket=$2
here=/etc/kubernetes
begun=$here/kubeadm-init.begun
umask 077
work=$(mktemp -d /run/kk-kubeadm.XXXXXX)
trap 'rm -rf "$work"' EXIT

# shellcheck source-path=SCRIPTDIR/../../init/files source=evidence.sh
. "${0%/*}/evidence.sh"

# A node that is in a cluster is left as it is: kubeadm's own check would come after the mark that makes the next try reset it.
in_cluster() {
  {
    server=$(sed -n 's/^ *server: *//p' "$here/kubelet.conf" 2>/dev/null | head -n 1)
    echo "NODE_IN_CLUSTER: this node is in a cluster already${server:+ ($server)}: $1. Nothing was changed."
    echo "$2"
  } >&2
  exit 1
}
away="If it is to leave that cluster, and everything on it may go, \`delete cluster\` takes it out; else take it out of the group control_plane."
if [ -e "$here/kubeadm-joined" ]; then
  in_cluster "it joined one whose first control plane is another" \
    "Put the host that the cluster was formed on first in the group control_plane again. $away"
elif [ ! -e "$begun" ] && [ -n "$(ls "$here/kubelet.conf" "$here"/manifests/*.yaml 2>/dev/null)" ]; then
  in_cluster "it has a kubelet.conf or static pods in $here, and no init of kk made them" "$away"
fi
earlier=
if [ -e "$begun" ]; then
  earlier=yes
  echo "an earlier kubeadm init did not come to its end: what it left is removed, its pki is kept"
  kept=$here/pki.kept
  if [ -d "$here/pki" ] && [ ! -d "$kept" ]; then
    rm -rf "$kept.new"
    cp -a "$here/pki" "$kept.new" && sync && mv "$kept.new" "$kept" || exit 1
  fi
  timeout 180 kubeadm reset --force --cri-socket "$socket" </dev/null 2>&1 | masked
  if [ -d "$kept" ]; then
    rm -rf "$here/pki" && mv "$kept" "$here/pki" || exit 1
  fi
  # What a power failure left without content is made anew, and what was signed with it.
  find "$here/pki" -type f -size 0 | while read -r file; do
    stem=${file%.*}
    rm -f "$stem.crt" "$stem.key" "$stem.pub"
    case $stem in
      */etcd/ca) rm -f "${stem%ca}"server.* "${stem%ca}"peer.* "${stem%ca}"healthcheck-client.* "$here"/pki/apiserver-etcd-client.* ;;
      */front-proxy-ca) rm -f "$here"/pki/front-proxy-client.* ;;
      */ca) rm -f "$here"/pki/apiserver.* "$here"/pki/apiserver-kubelet-client.* ;;
    esac
  done
fi
: >"$begun" && sync
cat "$here/kubeadm-init.yaml" "$here/kubeadm-settings.yaml" >"$work/config.yaml"
{
  kubeadm init --config "$work/config.yaml" --upload-certs ${3:+--skip-phases="$3"} </dev/null 2>&1
  echo $? >"$work/status"
} | masked | tee "$work/said" | sed -u '/control-plane has initialized successfully/,$d'

if [ "$(cat "$work/status")" != 0 ]; then
  evidence init "$work/said" "$begun" >&2
  # What an earlier try has left is still to be removed; this one has left nothing.
  if only_looked "$work/said"; then
    [ -n "$earlier" ] || { rm -f "$begun" && sync; }
    exit 1
  fi
  exit 1
fi
cp "$here/kubeadm-settings.yaml" "$here/kubeadm-formed.yaml.new" && sync
mv "$here/kubeadm-formed.yaml.new" "$here/kubeadm-formed.yaml" && rm -f "$begun" && sync
