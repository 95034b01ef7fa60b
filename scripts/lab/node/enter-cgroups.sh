#!/bin/bash
# enter-cgroups.sh PATH COMMAND...: run COMMAND in the cgroup PATH, below our own cgroup, in every hierarchy (v1 hybrid).
set -eu
path=$1
shift

while IFS=: read -r _ controllers own; do
  case $controllers in
    '') hierarchy=/sys/fs/cgroup/unified ;;
    name=*) hierarchy=/sys/fs/cgroup/${controllers#name=} ;;
    *) hierarchy=/sys/fs/cgroup/$controllers ;;
  esac
  [ -d "$hierarchy" ] || continue
  folder=$hierarchy${own%/}
  for part in ${path//\// }; do
    parent=$folder
    folder=$folder/$part
    mkdir -p "$folder"
    # A new cpuset is empty and refuses processes until it is given CPUs and memory nodes, level by level.
    [ "$controllers" = cpuset ] && for file in cpuset.cpus cpuset.mems; do cat "$parent/$file" >"$folder/$file"; done
  done
  [ "$controllers" = cpuset ] && echo 1 >"$folder/cgroup.clone_children"
  echo $$ >"$folder/cgroup.procs"
done < <(cat /proc/self/cgroup)

exec "$@"
