#!/bin/bash
# supervise.sh NODE_FOLDER: keep one node running until it powers itself off or is killed.
#
# Started by api.ts under `unshare --mount`: every mount made here, and the loop device under it, is gone when the last
# process of the node is gone, however it died. Environment: NODE (host name), MACHINE (unique on this host), NETNS,
# ADDRESS, BASE (lower layer), DISK (size of a new disk), KEY (public ssh key), CGROUP (path below our own cgroup).
set -eu
dir=$1
here=$(dirname "$(realpath "$0")")
cd /

exec 9>"$dir/lock"
flock -n 9 || exit 0 # another supervisor was started at the same moment
echo $$ >"$dir/pid"
trap 'rm -f "$dir/pid"' EXIT

# A mount of another node's network namespace in here would keep that one alive after its node is removed.
for mount in $(awk '$5 ~ "^/(var/)?run/netns/" {print $5}' /proc/self/mountinfo | sort -u); do
  [ "${mount##*/}" = "$NETNS" ] || umount "$mount" 2>/dev/null || true
done

[ -f "$dir/disk.img" ] || {
  truncate -s "$DISK" "$dir/disk.new"
  mkfs.ext4 -q -m0 -E lazy_itable_init=1,lazy_journal_init=1 "$dir/disk.new"
  mv "$dir/disk.new" "$dir/disk.img"
}
mkdir -p "$dir/disk" "$dir/root"
mount -o loop "$dir/disk.img" "$dir/disk"
mkdir -p "$dir"/disk/{upper,work,containerd,kubelet,etcd,docker}
mount -t overlay -o "lowerdir=$BASE,upperdir=$dir/disk/upper,workdir=$dir/disk/work" "$NODE" "$dir/root"

root=$dir/root
mkdir -p "$root/disk"
install -m 755 "$here/init.sh" "$root/lab-init"
# Only what is missing is written: the node's user may have changed it, and a power loss may have lost it.
[ -s "$root/etc/hostname" ] || echo "$NODE" >"$root/etc/hostname"
[ -s "$root/etc/hosts" ] || printf '127.0.0.1 localhost\n%s %s\n' "$ADDRESS" "$NODE" >"$root/etc/hosts"
[ -s "$root/etc/resolv.conf" ] || cp /etc/resolv.conf "$root/etc/resolv.conf"
[ -s "$root/root/.ssh/authorized_keys" ] || {
  install -d -m 700 "$root/root/.ssh"
  (umask 077 && cp "$KEY" "$root/root/.ssh/authorized_keys")
}
sync -f "$root/etc/hostname"

while :; do
  code=0
  "$here/enter-cgroups.sh" "$CGROUP" \
    env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=0 SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 SYSTEMD_NSPAWN_LOCK=0 SYSTEMD_SECCOMP=0 \
    systemd-nspawn --quiet --register=no --keep-unit --machine="$MACHINE" --hostname="$NODE" --directory="$root" \
    --network-namespace-path="/run/netns/$NETNS" --private-users=no \
    --capability=all --drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE \
    --kill-signal=SIGRTMIN+3 --resolv-conf=off --timezone=off --link-journal=no --console=read-only \
    --bind=/dev/kmsg --bind=/dev/fuse --bind=/dev/net/tun --bind="$dir/disk:/disk" /lab-init 9>&- || code=$?
  [ "$code" = 133 ] || break # 133: the node asked for a reboot
done
exit "$code"
