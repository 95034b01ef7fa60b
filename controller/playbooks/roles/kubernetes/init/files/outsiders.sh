#!/bin/sh
# outsiders.sh BIN NODE...: names those that the cluster does not have, and those that are not Ready as such.
set -eu
kubectl=$1/kubectl
shift
nodes=$("$kubectl" --kubeconfig /etc/kubernetes/admin.conf --request-timeout 20s get nodes --output \
  'jsonpath={range .items[*]}{.metadata.name}{"="}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}')
for node; do
  if ! echo "$nodes" | cut -d= -f1 | grep -qxF "$node"; then
    echo "$node"
  elif ! echo "$nodes" | grep -qxF "$node=True"; then
    echo "$node (not Ready)"
  fi
done
