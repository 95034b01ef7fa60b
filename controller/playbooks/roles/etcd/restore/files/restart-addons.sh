#!/bin/sh
# restart-addons.sh BIN: what else of the cluster's own watches the API begins anew: DNS, agents of the network, metrics. One that
# cannot (a paused Deployment) is named, and stops nothing: etcd is restored.
set -eu
bin=$1
api() { "$bin/kubectl" --kubeconfig /etc/kubernetes/admin.conf --request-timeout 20s --namespace kube-system "$@"; }
names=$(api get deployments,daemonsets --selector 'k8s-app!=kube-proxy' --output name)
left=
for name in $names; do
  api rollout restart "$name" </dev/null && continue
  # Not for want of the API, which would be tried again.
  api get "$name" --output name >/dev/null
  left="$left $name"
done
[ -z "$left" ] || echo "not begun anew, see why above and do it by hand (kubectl --namespace kube-system rollout restart):$left" >&2
