#!/bin/sh
# restart-addons.sh BIN: what else of the cluster's own watches the API begins anew: DNS, agents of the network, metrics.
set -eu
bin=$1
api() { "$bin/kubectl" --kubeconfig /etc/kubernetes/admin.conf --request-timeout 20s --namespace kube-system "$@"; }
names=$(api get deployments,daemonsets --selector 'k8s-app!=kube-proxy' --output name)
for name in $names; do api rollout restart "$name"; done
