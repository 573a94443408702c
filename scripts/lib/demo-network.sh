# Hosts with a pod each in network namespaces, joined by Overlay or by kernel VXLAN. Sourced by scripts/demo.
# Nodes are a, b and c; namespaces are PREFIX-host-a, PREFIX-pod-a and so on, and PREFIX-switch joins the hosts.

declare -A number=([a]=1 [b]=2 [c]=3) other=([a]=b [b]=a)
# Inner addresses of pods and of their hosts, by PREFIX-NODE.
declare -A pod4 pod6 gateway4 gateway6

# in_namespace NAMESPACE COMMAND...
in_namespace() {
  local namespace=$1
  shift
  ip netns exec "$namespace" "$@"
}

# create_underlay PREFIX: the switch between the hosts.
create_underlay() {
  ip netns add "$1-switch"
  ip -n "$1-switch" -batch - <<BATCH
link set lo up
link add switch0 mtu $underlay_mtu type bridge
link set switch0 up
BATCH
}

# connect PREFIX NAMESPACE N: an underlay device with the N-th addresses, cut and checksummed as on a real wire.
connect() {
  local prefix=$1 namespace=$2 n=$3
  ip -n "$prefix-switch" link add "port$n" type veth peer name underlay0 netns "$namespace"
  ip -n "$prefix-switch" link set "port$n" master switch0 up
  ip -n "$namespace" -batch - <<BATCH
address add 192.0.2.$n/24 dev underlay0
address add 2001:db8::$n/64 dev underlay0
link set underlay0 up
BATCH
  in_namespace "$namespace" ethtool -K underlay0 tx off tso off gso off gro on >/dev/null
  in_namespace "$prefix-switch" ethtool -K "port$n" tx off tso off gso off >/dev/null
}

# create_host PREFIX NODE [ROLE...]: and a pod of it, or only the namespaces that are named.
create_host() {
  local prefix=$1 node=$2 role
  shift 2
  [ $# -gt 0 ] || set -- host pod
  for role in "$@"; do
    ip netns add "$prefix-$role-$node"
    ip -n "$prefix-$role-$node" link set lo up
    in_namespace "$prefix-$role-$node" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
  done
  in_namespace "$prefix-host-$node" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  connect "$prefix" "$prefix-host-$node" "${number[$node]}"
}

# attach_pod PREFIX NODE: gives the pod its device and addresses, from pod4, gateway4 and so on.
attach_pod() {
  local key=$1-$2 host=$1-host-$2 pod=$1-pod-$2
  ip -n "$host" -batch - <<BATCH
link add pod0 mtu $overlay_mtu type veth peer name eth0 netns $pod mtu $overlay_mtu
address add ${gateway4[$key]}/32 dev pod0
address add ${gateway6[$key]}/128 dev pod0
link set pod0 up
route add ${pod4[$key]} dev pod0
route add ${pod6[$key]} dev pod0
BATCH
  ip -n "$pod" -batch - <<BATCH
address add ${pod4[$key]}/32 dev eth0
address add ${pod6[$key]}/128 dev eth0
link set eth0 up
route add ${gateway4[$key]} dev eth0
route add ${gateway6[$key]} dev eth0
route add default via ${gateway4[$key]}
route add default via ${gateway6[$key]}
BATCH
}

# fixed_addresses PREFIX NODE: those of networks that no controller tells.
fixed_addresses() {
  local n=${number[$2]}
  gateway4[$1-$2]=10.244.$n.1 pod4[$1-$2]=10.244.$n.2 gateway6[$1-$2]=fd00:244:$n::1 pod6[$1-$2]=fd00:244:$n::2
}

# write_controlled NODE FILE SOCKET: a configuration whose peers a controller tells.
write_controlled() {
  cat >"$2" <<YAML
node: node-$1
api:
  socket: $3
underlay:
  interface: underlay0
  addresses: ["$underlay_net${number[$1]}"]
control:
  controllers: [$controllers]
  certificate: $state/pki/node-node-$1.pem
  key: $state/pki/node-node-$1.key
  authority: $state/pki/ca.pem
  state: $state/node-$1
YAML
}

# write_configuration NODE FILE SOCKET: one that lists its peers itself.
write_configuration() {
  local n=${number[$1]} peer=${other[$1]} p
  p=${number[$peer]}
  cat >"$2" <<YAML
node: node-$1
api:
  socket: $3
underlay:
  interface: underlay0
tunnel:
  encapsulation: $encap
segments:
  - name: pods
    device: overlay0
$([ "$encap" = ipip ] || echo "    vni: $vni")
    addresses: [10.244.$n.0/32, "fd00:244:$n::/128"]
peers:
  - name: node-$peer
    address: "$underlay_net$p"
routes:
  - prefix: 10.244.$p.0/24
    peer: node-$peer
  - prefix: "fd00:244:$p::/64"
    peer: node-$peer
YAML
}

# start_process NAMESPACE NAME DIRECTORY PROGRAM ARGUMENT...: starts one that says when it is ready, and waits for that.
start_process() {
  local namespace=$1 name=$2 directory=$3 pid deadline=$((SECONDS + 30))
  shift 3
  : >"$directory/$name.log"
  # A session of its own: Ctrl-C is for this script, which then ends the daemon.
  setsid ip netns exec "$namespace" "$@" </dev/null >/dev/null 2>"$directory/$name.log" &
  pid=$!
  echo "$pid" >"$directory/$name.pid"
  until grep -q 'msg="ready' "$directory/$name.log"; do
    kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $deadline ] || die "$name did not get ready:
$(cat "$directory/$name.log")"
    sleep 0.05
  done
}

# start_daemon PREFIX NODE DIRECTORY WRITE: starts overlayd, with a configuration that WRITE wrote.
start_daemon() {
  "$4" "$2" "$3/node-$2.yaml" "$3/node-$2.sock"
  start_process "$1-host-$2" "node-$2" "$3" "$overlayd" --config "$3/node-$2.yaml"
}

# start_kernel_vxlan PREFIX NODE: the same by the kernel's VXLAN device, with static entries as Flannel makes them.
start_kernel_vxlan() {
  local host=$1-host-$2 n=${number[$2]} p=${number[${other[$2]}]}
  ip -n "$host" -batch - <<BATCH
link add vxlan0 address 02:00:00:00:00:0$n mtu $overlay_mtu type vxlan id $vni local $underlay_net$n dev underlay0 dstport $kernel_port nolearning noudpcsum
address add 10.244.$n.0/32 dev vxlan0
link set vxlan0 up
neighbour replace 10.244.$p.0 lladdr 02:00:00:00:00:0$p dev vxlan0 nud permanent
route replace 10.244.$p.0/24 via 10.244.$p.0 dev vxlan0 onlink
BATCH
  bridge -n "$host" fdb append "02:00:00:00:00:0$p" dev vxlan0 dst "$underlay_net$p"
}

# remove_nodes PREFIX: ends what runs in the namespaces and removes them.
remove_nodes() {
  local namespace pids deadline
  for namespace in $(ip netns list | awk -v prefix="$1-" 'index($1, prefix) == 1 { print $1 }'); do
    pids=$(ip netns pids "$namespace" 2>/dev/null) || pids=
    if [ -n "$pids" ]; then
      kill -TERM $pids 2>/dev/null || true
      deadline=$((SECONDS + 5))
      while [ -n "$(ip netns pids "$namespace" 2>/dev/null)" ] && [ $SECONDS -lt $deadline ]; do sleep 0.05; done
      pids=$(ip netns pids "$namespace" 2>/dev/null) || pids=
      [ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
    fi
    ip netns delete "$namespace" 2>/dev/null || true
  done
}
