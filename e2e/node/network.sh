# The network: a namespace with a bridge for the control plane, and one for each node; node N has the pods 10.244.N.0/24,
# all routed. Read by ../up.
# shellcheck shell=bash

make_network() {
  local i j
  ip netns add "$NAME"
  in_control ip link set lo up
  in_control ip link add bridge type bridge
  in_control ip addr add "$HOST/24" dev bridge
  in_control ip link set bridge up
  for ((i = 1; i <= NODES; i++)); do
    ip netns add "$NAME-$i"
    # `in_control ip link set nodeN down` cuts the node off.
    in_control ip link add "node$i" type veth peer name eth0 netns "/run/netns/$NAME-$i"
    in_control ip link set "node$i" master bridge up
    in_node "$i" ip link set lo up
    in_node "$i" ip addr add "$(node_ip "$i")/24" dev eth0
    in_node "$i" ip link set eth0 up
    in_node "$i" ip route add default via "$HOST"
    for ((j = 1; j <= NODES; j++)); do
      ((i == j)) || in_node "$i" ip route add "10.244.$j.0/24" via "$(node_ip "$j")"
    done
    in_node "$i" sysctl -qw net.ipv4.ip_forward=1
    in_control ip route add "10.244.$i.0/24" via "$(node_ip "$i")"
  done
  # Who is beside the control plane reaches Services through the first node's kube-proxy.
  in_control ip route add "$SERVICES" via "$(node_ip 1)"
}
