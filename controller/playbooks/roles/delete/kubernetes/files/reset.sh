# Takes the state of a cluster off this machine, and prints a line for each thing that was there. What can be done is done; what then
# is still there is told, and is an error. Nothing here asks the API, which may be dead.
export PATH="$BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
did() { printf '%s\n' "$*"; }
there() { command -v "$1" >/dev/null 2>&1; }

# 1. root's kubeconfig, while it can still be told whose it is.
authority() { sed -n 's/^ *certificate-authority-data: *//p' "$1" 2>/dev/null | head -n 1; }
ours=$(authority /etc/kubernetes/admin.conf)
if [ -n "$ours" ] && [ "$(authority /root/.kube/config)" = "$ours" ]; then
  rm -rf /root/.kube/config /root/.kube/cache && did "kubeconfig of root"
  rmdir /root/.kube 2>/dev/null
fi

# 2. The kubelet first, which would start everything again.
if systemctl is-active --quiet kubelet.service; then timeout 60 systemctl stop kubelet.service && did "kubelet stopped"; fi
systemctl is-enabled --quiet kubelet.service 2>/dev/null && systemctl disable --quiet kubelet.service

# Namespaces of our pods, while their containers can tell them. Other networks on this machine have such, too.
NETWORK=kk-pods
namespaces=$(
  cat /run/containerd/io.containerd.runtime.v[12].*/k8s.io/*/config.json /var/lib/cni/results/$NETWORK-* /var/lib/cni/cache/results/$NETWORK-* \
    2>/dev/null | grep -o 'netns/cni-[0-9a-f-]*' | sort -u | cut -d / -f 2
)

# kubeadm empties /var/lib/cni, where other networks (podman's) keep which addresses they have given out, too.
CNI_KEPT=/var/lib/cni.kk-kept
# Not what the pods of this cluster have, whatever the network is called (flannel's is cbr0): their addresses would never be free again.
without_pods() {
  sandboxes=$(find /run/containerd/io.containerd.runtime.v[12].*/k8s.io -mindepth 1 -maxdepth 1 2>/dev/null | sed 's|.*/||' | tr '\n' ' ')
  for id in $sandboxes; do rm -f "$1"/results/*-"$id"-* "$1"/cache/results/*-"$id"-*; done
  for network in "$1"/networks/*/; do
    dropped=
    for lease in "$network"*; do
      # host-local ends its lines as DOS does.
      id=$(head -n 1 "$lease" 2>/dev/null | tr -d '\r')
      case " $sandboxes" in *" ${id:-/} "*) rm -f "$lease" && dropped=yes ;; esac
    done
    [ -z "$dropped" ] || [ -n "$(find "$network" -type f ! -name 'last_reserved_ip.*' ! -name lock)" ] || rm -rf "$network"
  done
}
if [ -d /var/lib/cni ] && [ ! -e "$CNI_KEPT" ]; then
  rm -rf "$CNI_KEPT.new"
  cp -a /var/lib/cni "$CNI_KEPT.new" && without_pods "$CNI_KEPT.new" && mv "$CNI_KEPT.new" "$CNI_KEPT"
fi

# 3. kubeadm, without a kubeconfig: with one it asks the API for its settings, 45 seconds long where that is dead.
if [ -d /etc/kubernetes ] && there kubeadm; then
  if timeout -k 10 "$SECONDS_FOR_RESET" kubeadm reset -f --kubeconfig /nonexistent --cri-socket "$SOCKET" --skip-phases "$SKIP" </dev/null >/tmp/kk-reset.$$ 2>&1; then
    did "kubeadm reset"
  else
    echo "kubeadm reset failed, the rest goes on without it:" >&2
    tail -n 20 /tmp/kk-reset.$$ >&2
  fi
  rm -f /tmp/kk-reset.$$
fi

# 4. Containers that are still there: through containerd, or, where that does not answer, by their shims.
if [ -S "$SOCKET" ] && there ctr && timeout 20 ctr -a "$SOCKET" -n k8s.io tasks ls -q >/dev/null 2>&1; then
  c() { timeout 30 ctr -a "$SOCKET" -n k8s.io "$@"; }
  for id in $(c tasks ls -q); do c tasks kill -s KILL "$id" >/dev/null 2>&1; c tasks rm -f "$id" >/dev/null 2>&1; did "container $id"; done
  for id in $(c containers ls -q); do c containers rm "$id" >/dev/null 2>&1; did "container $id removed"; done
else
  for process in /proc/[0-9]*; do
    case "$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null)" in
      *containerd-shim*" -namespace k8s.io "*)
        for child in $(cat "$process"/task/*/children 2>/dev/null); do kill -KILL "$child"; done
        kill -KILL "${process#/proc/}" && did "shim ${process#/proc/}"
        ;;
    esac
  done
fi
for name in $namespaces; do [ -e "/run/netns/$name" ] && ip netns delete "$name" && did "network namespace $name"; done

# 5. Mounts of volumes, the deepest first; then the folders.
mounts() { awk -v a="$KUBELET_ROOT/" 'index($5, a) == 1 { print length($5), $5 }' /proc/self/mountinfo | sort -rn | cut -d ' ' -f 2-; }
# One of a server that is dead answers nobody: it is only taken out of the tree.
mounts | while read -r path; do
  path=$(printf '%b' "$path")
  timeout -s KILL 20 umount "$path" 2>/dev/null || timeout -s KILL 20 umount -c -l "$path"
  did "mount $path"
done

# In a folder: names there that are ours. The folder may be a disk, or hold what is somebody else's.
empty() {
  folder=$1
  shift
  set -f
  # shellcheck disable=SC2046 # a word for each name
  gone=$(find "$folder" -mindepth 1 -maxdepth 1 '(' -name "$1" $(shift; for name; do printf ' -o -name %s' "$name"; done) ')' \
    -print -exec rm -rf --one-file-system '{}' + 2>/dev/null)
  set +f
  [ -z "$gone" ] || did "folder $folder"
  [ ! -d "$folder" ] || rmdir "$folder" 2>/dev/null || printf 'Left in %s, for it is not of Kubernetes: %s\n' "$folder" "$(find "$folder" -mindepth 1 -maxdepth 1 | tr '\n' ' ')" >&2
}
if [ "$KUBELET_ROOT" != /var/lib/kubelet ]; then
  empty "$KUBELET_ROOT" pods plugins plugins_registry plugin-containers pki device-plugins pod-resources checkpoints image_manager userns \
    config.yaml instance-config.yaml kubeadm-flags.env '*_manager_state' '*_pods_state' .version
fi
# Its own by name, and emptied by kubeadm, too.
empty /var/lib/kubelet '*'
empty /var/log/pods '*'
empty /var/log/containers '*'
[ -z "$ETCD_DATA" ] || empty "$ETCD_DATA" member .restore 'before-restore-*'
if [ -d "$CNI_KEPT" ]; then
  # What has changed meanwhile is newer than what was kept.
  mkdir -p /var/lib/cni && cp -an "$CNI_KEPT/." /var/lib/cni/
  # What cp returns for a file that it does not overwrite depends on its version.
  missing=$(cd "$CNI_KEPT" && find . | while read -r path; do [ -e "/var/lib/cni/$path" ] || echo "$path"; done)
  if [ -z "$missing" ]; then
    rm -rf "$CNI_KEPT"
  else
    echo "Not put back into /var/lib/cni, and kept in $CNI_KEPT: $(echo "$missing" | tr '\n' ' ')" >&2
  fi
fi
for folder in /var/lib/cni/networks/$NETWORK /var/lib/cni/results/$NETWORK-* /var/lib/cni/cache/results/$NETWORK-*; do
  if [ -e "$folder" ]; then rm -rf "$folder" && did "$folder"; fi
done
rmdir /var/lib/cni/networks /var/lib/cni/results /var/lib/cni/cache/results /var/lib/cni/cache /var/lib/cni 2>/dev/null
if [ -d /etc/kubernetes ]; then rm -rf /etc/kubernetes && did "folder /etc/kubernetes"; fi

# 6. The network: devices, rules in every variant and family, ipvs. Legacy tables are only looked at where they are in use: to look
# would load them.
[ -e /sys/class/net/kube-ipvs0 ] && there ipvsadm && ipvsadm --clear && did "ipvs"
for link in cni0 kube-ipvs0; do [ -e "/sys/class/net/$link" ] && ip link delete "$link" && did "interface $link"; done
# Rules that are not ours, of what iptables-save has told. Of CNI's, ours are those whose comment names our network, and the chains
# that they lead to; the chains for all networks stay as long as one has ports.
others() {
  awk -v network="$NETWORK" '
    { line[NR] = $0 }
    /KUBE-|--comment "?kk-pods/ { ours[NR] = 1 }
    index($0, "name: \\\"" network "\\\"") { ours[NR] = 1; for (i = 1; i < NF; i++) if ($i == "-j" && $(i + 1) ~ /^CNI-(DN-)?[0-9a-f]+$/) chain[$(i + 1)] = 1 }
    END {
      for (n = 1; n <= NR; n++) {
        count = split(line[n], word, " ")
        for (i = 1; i <= count; i++) { name = word[i]; sub(/^:/, "", name); if (name in chain) ours[n] = 1 }
        if (!ours[n] && line[n] ~ /^:CNI-(DN|SN)-/) used = 1
      }
      for (n = 1; n <= NR; n++) if (!ours[n] && (used || line[n] !~ /CNI-HOSTPORT-/)) print line[n]
    }'
}
for family in ip ip6; do
  for variant in nft legacy; do
    tables="${family}tables-$variant"
    [ "$variant" = nft ] || grep -q . "/proc/net/${family}_tables_names" 2>/dev/null || continue
    there "$tables-save" || continue
    # Counters and times differ from one call to the next.
    rules=$("$tables-save" 2>/dev/null)
    kept=$(printf '%s\n' "$rules" | others)
    [ "$rules" = "$kept" ] || { printf '%s\n' "$kept" | "$tables-restore" -w 20 && did "rules of $tables"; }
  done
  there nft && nft delete table "$family" kube-proxy 2>/dev/null && did "nft table $family kube-proxy"
done
if there ipset; then for set in $(ipset list -n 2>/dev/null | grep '^KUBE-'); do ipset destroy "$set" && did "ipset $set"; done; fi

# 7. What must not be there any more.
left=
[ -z "$(mounts)" ] || left="mounts below $KUBELET_ROOT; "
[ -e /sys/class/net/cni0 ] && left="${left}the interface cni0; "
for tables in iptables ip6tables; do there $tables-save && $tables-save 2>/dev/null | grep -q KUBE- && left="${left}rules of Kubernetes in $tables; "; done
[ -z "$left" ] && exit 0
echo "Still there: ${left%; }. See what uses it (lsof, ip, iptables-save), end that, and run again." >&2
exit 1
