# What the scripts of a cluster share: its name and where its parts are. Read by `up`, `down`, `enter`, `load` and `run`.
# shellcheck shell=bash disable=SC2034

# Several clusters may run at once, under different names: no address, process or file of one is another's.
NAME=${ORION_CLUSTER:-orion-e2e}
[[ $NAME =~ ^[a-z][-a-z0-9]{0,20}$ ]] || { echo "ORION_CLUSTER: $NAME is no name for a cluster" >&2; exit 1; }
# Paths of sockets must stay short.
RUN=/var/tmp/$NAME
NODES=${ORION_NODES:-3}

# Network namespaces: the control plane's, with the bridge, and one for each node.
HOST=10.100.0.1
API=https://$HOST:6443
SERVICES=10.96.0.0/16
PODS=10.244.0.0/16
node_ip() { echo "10.100.0.$((10 + $1))"; }
in_control() { nsenter --net="/run/netns/$NAME" "$@"; }
in_node() { local node=$1; shift; nsenter --net="/run/netns/$NAME-$node" "$@"; }

# Process groups: `daemons`, and below `nodeN` the pods. One hierarchy (cgroup v2) or one for each controller (v1).
CGROUPS=/sys/fs/cgroup
if [[ -e $CGROUPS/cgroup.controllers ]]; then
  cgroup_trees() { echo "$CGROUPS"; }
  PIDS=$CGROUPS/$NAME
else
  cgroup_trees() { for tree in "$CGROUPS"/*/; do [[ ! -e $tree/cgroup.procs ]] || echo "${tree%/}"; done; }
  PIDS=$CGROUPS/pids/$NAME
fi

say() { printf '%6.1f s  %s\n' "$(bc <<<"$EPOCHREALTIME - $BEGAN")" "$*" >&2; }
BEGAN=$EPOCHREALTIME
