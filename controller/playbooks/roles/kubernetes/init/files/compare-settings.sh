#!/bin/sh
# Is the cluster formed with other settings than the plan has now?
formed=/etc/kubernetes/kubeadm-formed.yaml
said=$(diff -U 1 "$formed" /etc/kubernetes/kubeadm-settings.yaml) && exit 0
{
  echo "The cluster was formed with other settings; kk does not change them on a cluster that is there. Take these back:"
  echo "$said" | tail -n +3 | tail -n 18
} >&2
exit 1
