# Configurations of a node's daemons, of DNS and of the audit log. Read by ../up.
# shellcheck shell=bash

# A line for each refused request: what the operator's role lacks is found there.
cat >"$RUN/audit.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, namespaces: [orion-system]}
- {level: Metadata, userGroups: ["system:serviceaccounts:orion-system"]}
- {level: None}
YAML

cat >"$RUN/Corefile" <<CONF
.:53 {
  bind $HOST
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $RUN/pki/dns.conf
    pods insecure
    ttl 1
  }
  cache 1
}
CONF

node_configuration() {
  local i=$1 at=$RUN/node$1
  mkdir -p "$at"/{cni,kubelet,pod-logs,disks}
  # restrict_oom_score_adj: root may lack the right to lower the score, and no pod would start.
  cat >"$at/containerd.toml" <<TOML
version = 2
root = "$at/containerd"
state = "$at/containerd-state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
address = "$at/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "pause:3.10"
netns_mounts_under_state_dir = true
enable_unprivileged_ports = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$at/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
Root = "$at/runc"
TOML
  cat >"$at/cni/10-$NAME.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "$NAME", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$at/ipam", "ranges": [[{"subnet": "10.244.$i.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
  # Images that were loaded cannot be pulled again: none is ever removed for want of room.
  cat >"$at/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $RUN/pki/ca.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://$at/containerd.sock
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$NAME/node$i
podLogsDir: $at/pod-logs
volumePluginDir: $at/volume-plugins
resolvConf: ""
clusterDNS: [$HOST]
clusterDomain: cluster.local
failSwapOn: false
maxPods: 200
nodeLeaseDurationSeconds: 8
nodeStatusUpdateFrequency: 4s
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
YAML
  cat >"$at/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $PODS
hostnameOverride: node$i
clientConnection: {kubeconfig: $RUN/pki/kube-proxy.conf}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
}
