#!/bin/bash
# build-base.sh SUITE FOLDER: make the root filesystem every node of every lab starts from, read-only and shared.
#
# The packages come from this machine's own apt sources with the suite's name put in, so the lab reaches exactly the
# registries the machine reaches. The folder appears whole or not at all: it is built beside its place and renamed, under
# a lock, so two labs that start together build it once.
set -euo pipefail
suite=$1 base=$2
part=$base.part
sources=$part.list

mkdir -p "${base%/*}"
exec 9>"${base%/*}/build.lock"
flock 9
[ -d "$base" ] && exit 0
rm -rf --one-file-system "$part"

. /etc/os-release
apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
  awk -v here="$VERSION_CODENAME" -v suite="$suite" \
    'index($2, here) == 1 && !seen[$0]++ { sub("^" here, suite, $2); print "deb", $1, $2, $3 }' >"$sources"
[ -s "$sources" ] || {
  echo "apt knows no package source for $VERSION_CODENAME here; run 'apt-get update' and try again" >&2
  exit 1
}

packages=(
  systemd systemd-sysv dbus udev libpam-systemd openssh-server sudo ca-certificates
  iproute2 iputils-ping iptables nftables ipset ebtables conntrack ethtool socat netcat-openbsd tcpdump
  kmod procps psmisc util-linux mount e2fsprogs tar gzip xz-utils zstd rsync less jq curl fio containerd runc
)
[ "$suite" = bookworm ] || packages+=(systemd-timesyncd)
mmdebstrap --quiet --mode=root --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" \
  --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  "$suite" "$part" "$sources"
rm -f "$sources"

# Each node makes its own identity at its first boot.
: >"$part/etc/machine-id"
rm -f "$part/var/lib/dbus/machine-id" "$part"/etc/ssh/ssh_host_* "$part"/etc/{resolv.conf,hostname,hosts}
mkdir -p "$part/etc/systemd/system/multi-user.target.wants"
cat >"$part/etc/systemd/system/lab-host-keys.service" <<'UNIT'
[Unit]
Description=Make this node's ssh host key
Before=ssh.service
ConditionFileNotEmpty=!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStartPre=/bin/sh -c "rm -f /etc/ssh/ssh_host_*"
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key
ExecStartPost=/bin/sync
[Install]
WantedBy=multi-user.target
UNIT
ln -s ../lab-host-keys.service "$part/etc/systemd/system/multi-user.target.wants/lab-host-keys.service"

# Two ways in: root by key, and ops (password: ops) who must also give that password to sudo.
chroot "$part" useradd --create-home --shell /bin/bash --groups sudo ops
echo ops:ops | chroot "$part" chpasswd
printf '%s\n' 'PermitRootLogin prohibit-password' 'PasswordAuthentication yes' 'UseDNS no' 'MaxStartups 100' \
  >"$part/etc/ssh/sshd_config.d/lab.conf"

# Units that would reach for the whole machine's devices or clock, or that only slow the boot.
for unit in systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service \
  systemd-udev-settle.service systemd-timesyncd.service systemd-networkd-wait-online.service \
  systemd-modules-load.service systemd-pstore.service systemd-remount-fs.service \
  e2scrub_reap.service e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer fstrim.timer \
  sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount dev-hugepages.mount dev-mqueue.mount \
  getty.target console-getty.service proc-sys-fs-binfmt_misc.automount; do
  ln -sf /dev/null "$part/etc/systemd/system/$unit"
done
rm -f "$part/etc/systemd/system/multi-user.target.wants/containerd.service" # installed, and started by whoever wants it

mkdir -p "$part/etc/systemd/system.conf.d" "$part/etc/systemd/journald.conf.d" "$part/var/log/journal"
printf '[Manager]\nDefaultTimeoutStopSec=15s\n' >"$part/etc/systemd/system.conf.d/lab.conf"
printf '[Journal]\nStorage=persistent\nSystemMaxUse=64M\nReadKMsg=no\n' >"$part/etc/systemd/journald.conf.d/lab.conf"

mv "$part" "$base"
