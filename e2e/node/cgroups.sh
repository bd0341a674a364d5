# The cgroups of a cluster, of either version. Read by ../up.
# shellcheck shell=bash

make_cgroups() {
  local tree group i
  for tree in $(cgroup_trees); do
    for group in "" /daemons $(for ((i = 1; i <= NODES; i++)); do echo "/node$i"; done); do
      mkdir -p "$tree/$NAME$group"
      # v1: a new cpuset is empty, and an empty one takes no process.
      if [[ -e $tree/cpuset.cpus && ! -e $tree/cgroup.controllers ]]; then
        cat "$tree/cpuset.cpus" >"$tree/$NAME$group/cpuset.cpus"
        cat "$tree/cpuset.mems" >"$tree/$NAME$group/cpuset.mems"
      fi
      # v2: a group hands controllers down only if told; it has no processes of its own.
      if [[ -e $tree/cgroup.controllers && $group != /daemons ]]; then
        sed 's/\(^\| \)/ +/g' "$tree/cgroup.controllers" >"$tree/cgroup.subtree_control"
        sed 's/\(^\| \)/ +/g' "$tree/$NAME$group/cgroup.controllers" >"$tree/$NAME$group/cgroup.subtree_control"
      fi
    done
  done
}

join_cgroup() { echo "$1" >"$PIDS/daemons/cgroup.procs"; }
