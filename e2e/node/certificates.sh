# Certificates and kubeconfigs: one authority; a user is a certificate's common name, a group its organisation.
# Read by ../up.
# shellcheck shell=bash

KEY=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650)

# certificate FILE USER GROUP [NAMES]
certificate() {
  openssl req -x509 -CA ca.crt -CAkey ca.key "${KEY[@]}" -subj "/O=$3/CN=$2" -keyout "$1.key" -out "$1.crt" \
    -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth,clientAuth \
    ${4:+-addext "subjectAltName=$4"} 2>/dev/null
}

# kubeconfig FILE USER GROUP
kubeconfig() {
  certificate "$2" "$2" "$3"
  cat >"$1" <<YAML
apiVersion: v1
kind: Config
current-context: $NAME
clusters: [{name: $NAME, cluster: {server: "$API", certificate-authority-data: $(base64 -w0 ca.crt)}}]
contexts: [{name: $NAME, context: {cluster: $NAME, user: "$2"}}]
users: [{name: "$2", user: {client-certificate-data: $(base64 -w0 "$2.crt"), client-key-data: $(base64 -w0 "$2.key")}}]
YAML
}

make_certificates() {
  local names=DNS:localhost,IP:127.0.0.1,IP:10.96.0.1,IP:$HOST name user i
  for name in kubernetes{,.default{,.svc{,.cluster.local}}}; do names+=,DNS:$name; done
  pushd "$RUN/pki" >/dev/null
  openssl req -x509 "${KEY[@]}" -subj "/CN=$NAME" -keyout ca.key -out ca.crt 2>/dev/null
  openssl ecparam -name prime256v1 -genkey -noout -out sa.key
  openssl ec -in sa.key -pubout -out sa.pub 2>/dev/null
  certificate apiserver kube-apiserver kubernetes "$names"
  certificate kubelet-client kube-apiserver-kubelet-client system:masters
  kubeconfig "$RUN/kubeconfig" admin system:masters
  for user in kube-controller-manager kube-scheduler kube-proxy dns; do
    kubeconfig "$user.conf" "system:$user" "$NAME"
  done
  for ((i = 1; i <= NODES; i++)); do kubeconfig "node$i.conf" "system:node:node$i" system:nodes; done
  popd >/dev/null
}
