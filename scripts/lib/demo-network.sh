# Two hosts with a pod each in network namespaces, joined by Overlay or by kernel VXLAN. Sourced by scripts/demo.
# Nodes are a and b; namespaces are PREFIX-host-a, PREFIX-pod-a and so on.

declare -A number=([a]=1 [b]=2) other=([a]=b [b]=a)

# in_namespace NAMESPACE COMMAND...
in_namespace() {
  local namespace=$1
  shift
  ip netns exec "$namespace" "$@"
}

# create_nodes PREFIX: hosts, pods and the underlay between the hosts, cut and checksummed as on a real wire.
create_nodes() {
  local prefix=$1 node n host pod
  for node in a b; do
    for role in host pod; do
      ip netns add "$prefix-$role-$node"
      ip -n "$prefix-$role-$node" link set lo up
      in_namespace "$prefix-$role-$node" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
    done
  done
  ip -n "$prefix-host-a" link add underlay0 type veth peer name underlay0 netns "$prefix-host-b"
  for node in a b; do
    n=${number[$node]} host=$prefix-host-$node pod=$prefix-pod-$node
    in_namespace "$host" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip -n "$host" -batch - <<BATCH
address add 192.0.2.$n/24 dev underlay0
address add 2001:db8::$n/64 dev underlay0
link set underlay0 up
link add pod0 mtu $overlay_mtu type veth peer name eth0 netns $pod mtu $overlay_mtu
address add 10.244.$n.1/24 dev pod0
address add fd00:244:$n::1/64 dev pod0
link set pod0 up
BATCH
    in_namespace "$host" ethtool -K underlay0 tx off tso off gso off gro on >/dev/null
    ip -n "$pod" -batch - <<BATCH
address add 10.244.$n.2/24 dev eth0
address add fd00:244:$n::2/64 dev eth0
link set eth0 up
route add default via 10.244.$n.1
route add default via fd00:244:$n::1
BATCH
  done
}

# write_configuration NODE FILE SOCKET
write_configuration() {
  local n=${number[$1]} peer=${other[$1]} p
  p=${number[$peer]}
  cat >"$2" <<YAML
node: node-$1
api:
  socket: $3
underlay:
  interface: underlay0
${port:+  port: $port}
tunnel:
  encapsulation: $encap
  egress: auto
segments:
  - name: pods
${port:+    vni: $vni}
    device: overlay0
    mac: 02:00:00:00:00:0$n
    addresses: [10.244.$n.0/32, "fd00:244:$n::/128"]
peers:
  - name: node-$peer
    address: "$underlay_net$p"
    mac: 02:00:00:00:00:0$p
routes:
  - prefix: 10.244.$p.0/24
    peer: node-$peer
  - prefix: "fd00:244:$p::/64"
    peer: node-$peer
YAML
}

# start_daemon PREFIX NODE DIRECTORY: starts overlayd and waits until it says that it is ready.
start_daemon() {
  local prefix=$1 node=$2 directory=$3 pid deadline=$((SECONDS + 20))
  write_configuration "$node" "$directory/node-$node.yaml" "$directory/node-$node.sock"
  : >"$directory/node-$node.log"
  # A session of its own: Ctrl-C is for this script, which then ends the daemon.
  setsid ip netns exec "$prefix-host-$node" "$overlayd" --config "$directory/node-$node.yaml" \
    </dev/null >/dev/null 2>"$directory/node-$node.log" &
  pid=$!
  echo "$pid" >"$directory/node-$node.pid"
  until grep -q ready "$directory/node-$node.log"; do
    kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $deadline ] || die "overlayd of node-$node did not get ready:
$(cat "$directory/node-$node.log")"
    sleep 0.05
  done
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
