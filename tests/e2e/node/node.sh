#!/usr/bin/env bash
# One real Kubernetes node without Docker: kubelet, containerd, runc, CNI, kube-proxy and CoreDNS, with its own etcd,
# kube-apiserver, kube-controller-manager and kube-scheduler. All run in one set of new namespaces (mount, cgroup, net,
# pid), so that the end of one process ends all of them, pods included.
#
#   node.sh up                start all, and return when the node is Ready; nothing if it runs
#   node.sh exec COMMAND...   run a command in the node's namespaces, with KUBECONFIG set
#   node.sh import TAR...     load docker-archives or oci-archives as images of the node; it needs no registry
#   node.sh status            one line for each program
#   node.sh down [--wipe]     end all and remove the cgroups; --wipe also removes the state
#
# NODE_BIN: the folder with the programs and pause.tar, which tests/e2e/node/programs.py fills
# NODE_RUN: the folder for the state
# NODE_API_PORT: a port on 127.0.0.1. $NODE_RUN/host.kubeconfig names it.
# NODE_STATE=tmpfs: keep images, etcd and pods in memory. It is quicker, and all is gone after `down`.
# NODE_FAMILY: the versions of IP of pods and Services: ipv4, ipv6 or dual. Default: ipv4.
#
# It needs root, and cgroup v1 with each controller mounted by itself. Elsewhere use kind (`make e2e-kind`).
set -uo pipefail
readonly BIN=${NODE_BIN:?} RUN=${NODE_RUN:?} API_PORT=${NODE_API_PORT:?}
readonly SELF=$(readlink -f "$0")
readonly NODE=node1
# The addresses of the node exist only in the own net namespace, which has no way out. Lists begin with the main family.
case ${NODE_FAMILY:=ipv4} in
ipv4) NODE_IPS=10.88.0.2 SERVICE_IP=10.96.0.1 SERVICES=10.96.0.0/16 PODS=10.244.0.0/24 ANY=0.0.0.0 ;;
ipv6) NODE_IPS=fd00:88::2 SERVICE_IP=fd00:96::1 SERVICES=fd00:96::/108 PODS=fd00:244::/64 ANY=:: ;;
dual)
  NODE_IPS=10.88.0.2,fd00:88::2 SERVICE_IP=10.96.0.1 SERVICES=10.96.0.0/16,fd00:96::/108
  PODS=10.244.0.0/24,fd00:244::/64 ANY=::
  ;;
*)
  echo "NODE_FAMILY=$NODE_FAMILY is unknown. Use ipv4, ipv6 or dual." >&2
  exit 2
  ;;
esac
readonly NODE_IPS SERVICE_IP SERVICES PODS ANY
readonly NODE_IP=${NODE_IPS%%,*}
readonly PAUSE=localhost/pause:1
readonly CGROUPS="cpuset cpu cpuacct memory devices freezer blkio pids name=systemd"
export PATH=$BIN:/usr/sbin:/sbin:$PATH
# The components talk to this node alone.
unset HTTP_PROXY HTTPS_PROXY http_proxy https_proxy NO_PROXY no_proxy

log() { printf '%s %s\n' "$(date +%T.%3N)" "$*" >&2; }

# A file of a process has its ID and its start time (field 22 of /proc/PID/stat), so that it never names a later process
# with the same ID.
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
write_pid() { echo "$2 $(born "$2")" >"$1"; }
pid() { cut -d' ' -f1 "$1"; }
alive() {
  local process start
  [ -s "$1" ] && read -r process start <"$1" && [ -n "$start" ] && [ "$(born "$process")" = "$start" ]
}

# Each node gets a child of the cgroup of this shell, so that its memory is accounted to the caller. The cgroup namespace
# makes that child the root, so that /kubepods of two nodes differ.
cgroup_folder() {
  local path
  path=$(awk -F: -v controller="$1" '$2 == controller {print $3}' /proc/self/cgroup)
  echo "/sys/fs/cgroup/${1#name=}${path%/}/tallystick-node-$(echo -n "$RUN" | cksum | cut -d' ' -f1)"
}
enter_cgroups() {
  local controller folder
  : >"$RUN/cgroups"
  for controller in $CGROUPS; do
    folder=$(cgroup_folder "$controller")
    mkdir -p "$folder" || continue
    if [ "$controller" = cpuset ]; then # a new cpuset is empty, and takes no process
      cat "${folder%/*}/cpuset.cpus" >"$folder/cpuset.cpus"
      cat "${folder%/*}/cpuset.mems" >"$folder/cpuset.mems"
    fi
    echo "$folder" >>"$RUN/cgroups"
    echo "$BASHPID" >"$folder/cgroup.procs"
  done
}

kubeconfig() { # FILE SERVER TOKEN
  cat >"$1" <<END
apiVersion: v1
kind: Config
clusters: [{name: node, cluster: {server: "$2", certificate-authority: $RUN/pki/ca.crt}}]
users: [{name: user, user: {token: $3}}]
contexts: [{name: node, context: {cluster: node, user: user}}]
current-context: node
END
  chmod 600 "$1"
}

certificate() { # NAME SUBJECT EXTENSIONS
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile <(echo "$3") -out "$1.crt" \
    2>/dev/null
}

# One authority, and tokens for the identities that the bootstrap policy of RBAC names.
write_identities() {
  [ -s "$RUN/pki/tokens.csv" ] && return
  mkdir -p -m 700 "$RUN/pki"
  cd "$RUN/pki" || exit 1
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  openssl req -x509 -new -key ca.key -days 30 -subj /CN=node-ca -out ca.crt 2>/dev/null
  local names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
  certificate apiserver /CN=kube-apiserver "extendedKeyUsage=serverAuth
subjectAltName=$names,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$SERVICE_IP,IP:$NODE_IP"
  certificate kubelet-client /O=system:masters/CN=apiserver-kubelet-client "extendedKeyUsage=clientAuth"
  openssl genrsa -out sa.key 2048 2>/dev/null
  local line name user groups token
  for line in 'admin admin "system:masters"' "kubelet system:node:$NODE \"system:nodes\"" \
    'manager system:kube-controller-manager ""' 'scheduler system:kube-scheduler ""' 'proxy system:kube-proxy ""'; do
    read -r name user groups <<<"$line"
    token=$(openssl rand -hex 16)
    echo "$token,$user,$name,$groups" >>tokens.draft
    kubeconfig "$RUN/$name.kubeconfig" https://127.0.0.1:6443 "$token"
    [ "$name" = admin ] && kubeconfig "$RUN/host.kubeconfig" "https://127.0.0.1:$API_PORT" "$token"
  done
  chmod 600 tokens.draft
  mv tokens.draft tokens.csv
}

write_configurations() {
  mkdir -p "$RUN"/{log,pid,etcd,containerd,kubelet,pod-logs,cni/net.d,cni/ipam,volume-plugins}
  # ptp routes each pod, so that the NAT of kube-proxy needs no br_netfilter.
  local pods ranges='' routes=''
  for pods in ${PODS//,/ }; do
    ranges+="${ranges:+, }[{\"subnet\": \"$pods\"}]"
    routes+="${routes:+, }{\"dst\": \"$([[ $pods = *:* ]] && echo ::/0 || echo 0.0.0.0/0)\"}"
  done
  cat >"$RUN/cni/net.d/10-ptp.conflist" <<END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "ptp", "mtu": 1500, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "$RUN/cni/ipam", "ranges": [$ranges], "routes": [$routes]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
  # restrict_oom_score_adj: the score of the pause container is -998, and lowering it needs CAP_SYS_RESOURCE.
  cat >"$RUN/containerd.toml" <<END
version = 2
root = "$RUN/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE"
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "$RUN/cni/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
END
  echo "nameserver $NODE_IP" >"$RUN/resolv.conf"
  # CoreDNS listens on the node's address, and needs neither a Service nor an image.
  cat >"$RUN/Corefile" <<END
.:53 {
  bind $NODE_IP
  errors
  kubernetes cluster.local {
    kubeconfig $RUN/admin.kubeconfig
  }
  cache 2
}
END
  # failCgroupV1: since 1.35, a kubelet rejects cgroup v1 otherwise. oomScoreAdj: -999 would need CAP_SYS_RESOURCE.
  # imageGCHighThresholdPercent, evictionHard: an image that was imported cannot be pulled again.
  cat >"$RUN/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
failSwapOn: false
oomScoreAdj: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $RUN/pki/ca.crt}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDomain: cluster.local
clusterDNS: [$NODE_IP]
resolvConf: $RUN/resolv.conf
podLogsDir: $RUN/pod-logs
volumePluginDir: $RUN/volume-plugins
readOnlyPort: 0
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi, nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}
nodeStatusUpdateFrequency: 5s
registryPullQPS: 0
END
  # conntrack: its sysctls are those of the whole machine.
  cat >"$RUN/proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $PODS
hostnameOverride: $NODE
clientConnection: {kubeconfig: $RUN/proxy.kubeconfig}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nodePortAddresses: [primary]
END
}

start() { # NAME COMMAND...
  local name=$1
  shift
  "$@" >"$RUN/log/$name.log" 2>&1 </dev/null &
  echo $! >"$RUN/pid/$name.inner"
}

wait_for() { # SECONDS NAME COMMAND...
  local seconds=$1 name=$2 try
  shift 2
  for ((try = 0; try < seconds * 10; try++)); do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  log "$name is not ready after $seconds s"
  return 1
}

as_admin() { kubectl --kubeconfig "$RUN/admin.kubeconfig" "$@"; }

# The condition Ready of a kept state may be that of an earlier kubelet, so a heartbeat of this one is needed.
heartbeat_since() {
  local beat
  beat=$(as_admin get node "$NODE" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].lastHeartbeatTime}') || return 1
  [[ -n $beat && ! $beat < $1 ]]
}

prepare_namespaces() {
  mount --make-rshared /
  mount -t proc proc /proc
  # Nothing may change a sysctl of the machine. Those of the net namespace are our own.
  mount --bind /proc/sys /proc/sys
  mount --bind /proc/sys/net /proc/sys/net
  mount -o remount,bind,ro /proc/sys
  # The kubelet ends if these sysctls of the machine have other values, so it sees files with the values it needs.
  local setting file
  mount -t tmpfs tmpfs /mnt
  for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
    file=/mnt/${setting//\//_}
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
  done
  umount -l /mnt
  mount -t sysfs sysfs /sys
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  local controller folder
  for controller in $CGROUPS; do
    folder=/sys/fs/cgroup/${controller#name=}
    mkdir -p "$folder"
    mount -t cgroup -o "$([ "$controller" = name=systemd ] && echo none,)$controller" cgroup "$folder" ||
      log "cgroup $controller is not mounted"
  done
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/netns /run/containerd /run/lock /var/lib/kubelet /var/lib/cni
  mount -t tmpfs tmpfs /var/lib/cni
  if [ "${NODE_STATE:-disk}" = tmpfs ]; then
    for folder in containerd etcd kubelet pod-logs cni/ipam; do mount -t tmpfs tmpfs "$RUN/$folder"; done
  fi
  mount --bind "$RUN/kubelet" /var/lib/kubelet
  # An image that was not imported fails at once, and does not wait for a resolver that cannot be reached from here.
  mount --bind "$RUN/resolv.conf" "$(readlink -f /etc/resolv.conf)"
  ip link set lo up
  ip link add node0 type bridge && ip link set node0 up
  local address
  for address in ${NODE_IPS//,/ }; do
    # kubelet and kube-proxy look for a default route; it leads nowhere. No other node can have the address (nodad).
    if [[ $address = *:* ]]; then
      ip -6 addr add "$address/64" dev node0 nodad
      ip -6 route add default via fd00:88::1 dev node0 onlink
      echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    else
      ip addr add "$address/24" dev node0
      ip route add default via 10.88.0.1 dev node0 onlink
      echo 1 >/proc/sys/net/ipv4/ip_forward
    fi
  done
}

__init() { # process 1 of the new namespaces
  prepare_namespaces
  rm -f "$RUN"/pid/*.inner "$RUN/api.sock"
  local pki=$RUN/pki
  start etcd etcd --data-dir "$RUN/etcd" --listen-client-urls http://127.0.0.1:2379 --unsafe-no-fsync \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 \
    --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster default=http://127.0.0.1:2380
  start containerd containerd --config "$RUN/containerd.toml"
  start apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --bind-address="$ANY" \
    --advertise-address="$NODE_IP" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --client-ca-file="$pki/ca.crt" --kubelet-client-certificate="$pki/kubelet-client.crt" \
    --kubelet-client-key="$pki/kubelet-client.key" --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/sa.key" \
    --service-account-signing-key-file="$pki/sa.key" --authorization-mode=Node,RBAC --token-auth-file="$pki/tokens.csv" \
    --enable-admission-plugins=NodeRestriction --service-cluster-ip-range="$SERVICES" --allow-privileged=true
  wait_for 120 kube-apiserver as_admin get --raw /readyz || return 1
  start manager kube-controller-manager --kubeconfig="$RUN/manager.kubeconfig" --use-service-account-credentials \
    --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" --leader-elect=false \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" --bind-address=127.0.0.1
  start scheduler kube-scheduler --kubeconfig="$RUN/scheduler.kubeconfig" --leader-elect=false --bind-address=127.0.0.1
  wait_for 60 containerd ctr version || return 1
  ctr -n k8s.io images ls -q | grep -qx "$PAUSE" || ctr -n k8s.io images import "$BIN/pause.tar" >&2
  local began
  began=$(date -u +%Y-%m-%dT%H:%M:%S)
  start kubelet kubelet --kubeconfig="$RUN/kubelet.kubeconfig" --config="$RUN/kubelet.yaml" --root-dir=/var/lib/kubelet \
    --cert-dir="$RUN/kubelet-pki" --hostname-override="$NODE" --node-ip="$NODE_IPS"
  start proxy kube-proxy --config="$RUN/proxy.yaml"
  start coredns coredns -conf "$RUN/Corefile"
  start api-socket socat "UNIX-LISTEN:$RUN/api.sock,fork,unlink-early,mode=600" TCP:127.0.0.1:6443
  wait_for 120 "the kubelet" heartbeat_since "$began" || return 1
  wait_for 120 "the node" as_admin wait --for=condition=Ready "node/$NODE" --timeout=1s || return 1
  # Pods need this ServiceAccount, which comes a moment later.
  wait_for 60 "ServiceAccount default" as_admin get serviceaccount default || return 1
  echo ready >"$RUN/up"
  trap 'exit 0' TERM
  while :; do # process 1 also collects the orphans of the shims
    wait
    sleep 5
  done
}

up() {
  alive "$RUN/pid/init" && return
  mkdir -p "$RUN"
  write_configurations
  write_identities
  rm -f "$RUN/up"
  # --kill-child: if unshare ends, process 1 of the pid namespace ends, and with it every process in there.
  (
    enter_cgroups
    exec setsid unshare --mount --propagation private --cgroup --net --pid --fork --kill-child=KILL bash "$SELF" __init
  ) >"$RUN/log/init.log" 2>&1 </dev/null &
  local unshare=$! child init='' try
  write_pid "$RUN/pid/unshare" "$unshare"
  for ((try = 0; try < 100; try++)); do
    for child in $(cat "/proc/$unshare/task/$unshare/children" 2>/dev/null); do
      # Before its exec, the shell has other children; only that of unshare is process 1 of a namespace.
      [ "$(awk '/^NSpid:/ && NF > 2 {print $NF}' "/proc/$child/status" 2>/dev/null)" = 1 ] && init=$child
    done
    [ -n "$init" ] && break
    sleep 0.05
  done
  [ -n "$init" ] || { cat "$RUN/log/init.log" >&2; log "no new namespaces"; return 1; }
  write_pid "$RUN/pid/init" "$init"
  for ((try = 0; try < 3600; try++)); do
    [ -s "$RUN/up" ] && break
    alive "$RUN/pid/init" || { cat "$RUN/log/init.log" >&2; log "the node ended"; return 1; }
    sleep 0.1
  done
  [ -s "$RUN/up" ] || { cat "$RUN/log/init.log" >&2; return 1; }
  setsid socat "TCP-LISTEN:$API_PORT,bind=127.0.0.1,reuseaddr,fork" "UNIX-CONNECT:$RUN/api.sock" \
    >"$RUN/log/host-socket.log" 2>&1 </dev/null &
  write_pid "$RUN/pid/host-socket" $!
}

inside() {
  alive "$RUN/pid/init" || { log "the node does not run"; return 1; }
  KUBECONFIG=$RUN/admin.kubeconfig nsenter -t "$(pid "$RUN/pid/init")" -m -n -p -C "$@"
}

down() {
  local try process folder left
  alive "$RUN/pid/host-socket" && kill "$(pid "$RUN/pid/host-socket")"
  if alive "$RUN/pid/init"; then
    kill -KILL "$(pid "$RUN/pid/init")"
    for ((try = 0; try < 100; try++)); do
      alive "$RUN/pid/init" || break
      sleep 0.1
    done
  fi
  # What is still in the node's own cgroup was started by an `up` that did not finish.
  for process in $(cat "$(grep /pids/ "$RUN/cgroups" 2>/dev/null)/cgroup.procs" 2>/dev/null); do
    kill -KILL "$process" 2>/dev/null
  done
  rm -f "$RUN"/pid/*
  # Cgroups outlive their namespace, and cannot be removed while they have a process.
  for ((try = 0; try < 50; try++)); do
    left=
    while read -r folder; do
      [ -d "$folder" ] || continue
      find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null
      [ -d "$folder" ] && left=1
    done <"$RUN/cgroups"
    [ -z "$left" ] && break
    sleep 0.1
  done 2>/dev/null
  [ "${1:-}" = --wipe ] && rm -rf "$RUN"
  return 0
}

case ${1:-} in
up) up ;;
__init) __init ;;
exec) inside "${@:2}" ;;
import) for archive in "${@:2}"; do inside ctr -n k8s.io images import "$(readlink -f "$archive")" || exit 1; done ;;
status)
  alive "$RUN/pid/init" || { echo down; exit 1; }
  for file in "$RUN"/pid/*.inner; do
    name=$(basename "$file" .inner)
    inside kill -0 "$(cat "$file")" 2>/dev/null && echo "$name runs" || echo "$name ended; see $RUN/log/$name.log"
  done
  ;;
down) down "${2:-}" ;;
*) sed -n 2,20p "$SELF"; exit 2 ;;
esac
