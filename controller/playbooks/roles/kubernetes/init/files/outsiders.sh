#!/bin/sh
# outsiders.sh BIN NODE...: names those that are not Ready members of the cluster.
set -eu
kubectl=$1/kubectl
shift
ready=$("$kubectl" --kubeconfig /etc/kubernetes/admin.conf --request-timeout 20s get nodes --output \
  'jsonpath={range .items[*]}{.metadata.name}{"="}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}')
for node; do
  echo "$ready" | grep -qxF "$node=True" || echo "$node"
done
