#!/bin/sh
# probe-pods.sh BIN ADDRESS IMAGE SECONDS, with the command on stdin: a pod on each node runs it until it succeeds, which makes it Ready.
set -u
kubectl="$1/kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout 20s --namespace kube-system"
now() { cut -d. -f1 /proc/uptime; }
end=$(($(now) + $4))
forget() { $kubectl delete daemonset kk-verify --ignore-not-found >/dev/null; }
# IMAGE ADDRESS COMMAND
make() {
  $kubectl apply --filename - >/dev/null <<YAML
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: kk-verify }
spec:
  selector: { matchLabels: { app: kk-verify } }
  template:
    metadata: { labels: { app: kk-verify } }
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 1
      tolerations: [{ operator: Exists }]
      containers:
        - name: probe
          image: "$1"
          imagePullPolicy: IfNotPresent
          env: [{ name: ADDRESS, value: "$2" }, { name: PORT, value: "443" }]
          command:
            - /bin/sh
            - -c
            - |
              probe() { $3; }
              until probe; do sleep 1; done
              touch /tmp/reached
              sleep 3600
          readinessProbe: { exec: { command: [/bin/sh, -c, "test -e /tmp/reached"] }, periodSeconds: 1, timeoutSeconds: 5 }
YAML
}
command=$(tr '\n' ' ')
# While a control plane comes or goes single calls fail.
until forget && make "$3" "$2" "$command"; do
  [ "$(now)" -lt "$end" ] || exit 1
  sleep 1
done
$kubectl rollout status daemonset/kk-verify --timeout "$4s" --request-timeout 0 >/dev/null && exit 0
{
  echo "after $4 s pods do not reach the Service $2:"
  $kubectl get pods --selector app=kk-verify --output wide --no-headers 2>&1 | head -n 8 | cut -c1-200
  $kubectl get events --field-selector type=Warning --sort-by .lastTimestamp --output 'jsonpath={range .items[*]}{.involvedObject.name}{": "}{.message}{"\n"}{end}' 2>&1 |
    grep kk-verify | tail -n 5 | cut -c1-300
} >&2
exit 1
