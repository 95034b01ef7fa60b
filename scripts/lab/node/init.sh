#!/bin/bash
# PID 1 of a node before systemd: redo those parts of systemd-nspawn's set-up that do not fit a Kubernetes node.
mount --make-rprivate /

# The host's own files, which a plain machine would not have.
for _ in 1 2 3; do
  for mount in /run/host/os-release /run/host/incoming; do umount "$mount" 2>/dev/null; done
done

# sysfs of this node's network namespace: nspawn leaves the one of its caller.
umount -R /sys 2>/dev/null || umount -lR /sys
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys

# cgroups: every v1 controller writable, and cgroup2 without controllers for systemd's own tracking.
mount -t tmpfs -o nosuid,nodev,noexec,mode=755 tmpfs /sys/fs/cgroup
while IFS=: read -r _ controllers _; do
  if [ -z "$controllers" ]; then
    mkdir /sys/fs/cgroup/unified
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup/unified
  else
    folder=/sys/fs/cgroup/${controllers#name=}
    mkdir "$folder"
    mount -t cgroup -o "nosuid,nodev,noexec,$controllers" cgroup "$folder"
  fi
done </proc/self/cgroup

# Mounts spread into mounts made later, as on a machine booted by systemd (kubelet volumes and containerd need it).
mount --make-rshared /

# Overlay cannot lie on overlay: whoever makes overlays of its own gets a folder on the node's ext4 disk.
for name in containerd docker kubelet etcd; do
  mkdir -p "/var/lib/$name"
  mount --bind "/disk/$name" "/var/lib/$name"
done

exec /lib/systemd/systemd systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0 \
  SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
