#!/bin/sh
# make-service.sh BIN PORT SECONDS ETCD: a Service before the API servers; prints its ClusterIP when it has Endpoints. With etcd of kubeadm
# the first controller-manager may have lost its watches when a member joined, without a word (seen with 1.20): it is restarted once.
set -u
kubectl="$1/kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout 20s --namespace kube-system"
now() { cut -d. -f1 /proc/uptime; }
end=$(($(now) + $3))
forget() { $kubectl delete service kk-verify --ignore-not-found >/dev/null; }
# Static pods are told to be ready a minute late; kube-proxy is not to wait for that.
make() {
  $kubectl apply --filename - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: { name: kk-verify }
spec:
  selector: { component: kube-apiserver }
  publishNotReadyAddresses: true
  ports: [{ port: 443, targetPort: $1 }]
YAML
}
# While a control plane comes or goes single calls fail.
until forget && make "$2"; do
  [ "$(now)" -lt "$end" ] || exit 1
  sleep 1
done
soon=$(($(now) + 15))
until [ -n "$($kubectl get endpoints kk-verify --output 'jsonpath={.subsets[*].addresses[*].ip}' 2>/dev/null)" ]; do
  if [ "$4" = internal ] && [ "$(now)" -ge "$soon" ]; then
    pkill -TERM -x kube-controller || true
    soon=$((end + 1))
  fi
  if [ "$(now)" -ge "$end" ]; then
    {
      echo "after $3 s a new Service has no Endpoints: the controller-manager does not follow. Its last words:"
      $kubectl logs --selector component=kube-controller-manager --tail 5 2>&1 | cut -c1-300
    } >&2
    exit 1
  fi
  sleep 0.5
done
until $kubectl get service kk-verify --output 'jsonpath={.spec.clusterIP}'; do
  [ "$(now)" -lt "$end" ] || exit 1
  sleep 1
done
