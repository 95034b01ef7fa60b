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
for name in $(ip netns list 2>/dev/null | awk '/^cni-/ { print $1 }'); do ip netns delete "$name" && did "network namespace $name"; done

# 5. Mounts of volumes, the deepest first; then the folders.
mounts() { awk -v a="$KUBELET_ROOT/" 'index($5, a) == 1 { print length($5), $5 }' /proc/self/mountinfo | sort -rn | cut -d ' ' -f 2-; }
mounts | while read -r path; do
  umount "$(printf '%b' "$path")" 2>/dev/null || umount -l "$(printf '%b' "$path")"
  did "mount $path"
done
for folder in "$KUBELET_ROOT" /var/lib/cni /var/log/pods /var/log/containers ${ETCD_DATA:+"$ETCD_DATA"}; do
  if [ -n "$(ls -A "$folder" 2>/dev/null)" ]; then
    # The folder itself may be a disk.
    find "$folder" -mindepth 1 -maxdepth 1 -exec rm -rf --one-file-system {} + && did "folder $folder"
  fi
  rmdir "$folder" 2>/dev/null
done
if [ -d /etc/kubernetes ]; then rm -rf /etc/kubernetes && did "folder /etc/kubernetes"; fi

# 6. The network: devices, rules in every variant and family, ipvs. Legacy tables are only looked at where they are in use: to look
# would load them.
[ -e /sys/class/net/kube-ipvs0 ] && there ipvsadm && ipvsadm --clear && did "ipvs"
for link in cni0 kube-ipvs0; do [ -e "/sys/class/net/$link" ] && ip link delete "$link" && did "interface $link"; done
rules='KUBE-|CNI-|--comment "?kk-pods'
for family in ip ip6; do
  for variant in nft legacy; do
    tables="${family}tables-$variant"
    [ "$variant" = nft ] || grep -q . "/proc/net/${family}_tables_names" 2>/dev/null || continue
    there "$tables-save" || continue
    "$tables-save" 2>/dev/null | grep -Eq -e "$rules" || continue
    "$tables-save" 2>/dev/null | grep -Ev -e "$rules" | "$tables-restore" -w 20 && did "rules of $tables"
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
