# Controllers, certificates, and nodes that join. Sourced by scripts/demo.

# admin ARGUMENT...: asks the controller, and shows the question.
admin() {
  echo "\$ overlay $*"
  "$overlay" "$@" --socket "$state/controller-1.sock"
}

make_certificates() {
  local node
  "$overlay" pki init --dir "$state/pki" >/dev/null
  "$overlay" pki controller demo --host 192.0.2.100 --host 2001:db8::100 --dir "$state/pki" >/dev/null
  for node in a b c; do "$overlay" pki node "node-$node" --dir "$state/pki" >/dev/null; done
  ls -1 "$state/pki" | sed 's|^|  |'
}

start_etcd() {
  local deadline=$((SECONDS + 30))
  setsid ip netns exec "$prefix-control" etcd --data-dir "$state/etcd" --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 </dev/null >"$state/etcd.log" 2>&1 &
  until grep -q 'ready to serve' "$state/etcd.log"; do
    [ $SECONDS -lt $deadline ] || die "etcd did not get ready: $(tail -3 "$state/etcd.log")"
    sleep 0.05
  done
}

# start_controllers: on a host of their own; what nodes call them by is in controllers.
start_controllers() {
  local count=1 i host="${underlay_net}100" text="{ kind: sqlite, file: $state/control.db }"
  [ -z "$ipv6" ] || host="[$host]"
  ip netns add "$prefix-control"
  ip -n "$prefix-control" link set lo up
  in_namespace "$prefix-control" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
  connect "$prefix" "$prefix-control" 100
  if [ "$store" = etcd ]; then
    count=2 text='{ kind: etcd, endpoints: [http://127.0.0.1:2379] }'
    start_etcd
  fi
  for ((i = 1; i <= count; i++)); do
    cat >"$state/controller-$i.yaml" <<YAML
store: $text
listen: "$host:$((7442 + i))"
socket: $state/controller-$i.sock
tls:
  certificate: $state/pki/controller-demo.pem
  key: $state/pki/controller-demo.key
  authority: $state/pki/ca.pem
YAML
    start_process "$prefix-control" "controller-$i" "$state" "$controller" --config "$state/controller-$i.yaml"
    controllers+="${controllers:+, }\"$host:$((7442 + i))\""
    echo "  controller-$i: $(sed -n 's/.*msg="\(ready[^"]*\)".*/\1/p' "$state/controller-$i.log")"
  done
}

# take_addresses NODE: of the blocks that the node leased, one each for the pod and the host's end of its device.
take_addresses() {
  local key=$prefix-$1 blocks=() deadline=$((SECONDS + 30)) head last
  until [ ${#blocks[@]} -eq 2 ]; do
    [ $SECONDS -lt $deadline ] || die "node-$1 leased no blocks"
    sleep 0.1
    mapfile -t blocks < <("$overlay" ipam blocks --node "node-$1" --socket "$state/controller-1.sock" | awk -v node="node-$1" '$3 == node { print $2 }')
  done
  head=${blocks[0]%/*} last=${blocks[0]%/*} head=${head%.*} last=${last##*.}
  gateway4[$key]=$head.$((last + 1)) pod4[$key]=$head.$((last + 2))
  head=${blocks[1]%/*} last=${blocks[1]%/*} head=${head%:*} last=${last##*:}
  gateway6[$key]=$(printf '%s:%x' "$head" $((0x${last:-0} + 1))) pod6[$key]=$(printf '%s:%x' "$head" $((0x${last:-0} + 2)))
  for last in "${gateway4[$key]}" "${pod4[$key]}" "${gateway6[$key]}" "${pod6[$key]}"; do
    "$overlay" ipam reserve "$last" --owner "pod-$1" --socket "$state/controller-1.sock" >/dev/null
  done
}

# join NODE: a host, its daemon and its pod.
join() {
  local node=$1
  create_host "$prefix" "$node"
  if [ -n "$store" ]; then
    start_daemon "$prefix" "$node" "$state" write_controlled
    take_addresses "$node"
  else
    fixed_addresses "$prefix" "$node"
    start_daemon "$prefix" "$node" "$state" write_configuration
  fi
  attach_pod "$prefix" "$node"
  echo "  node-$node: pod ${pod4[$prefix-$node]} and ${pod6[$prefix-$node]}"
}

# answers FROM TO: waits until a pod answers another.
answers() {
  local deadline=$((SECONDS + 20))
  until in_namespace "$prefix-pod-$1" ping -q -c 1 -W 1 "${pod4[$prefix-$2]}" >/dev/null; do
    [ $SECONDS -lt $deadline ] || die "pod-$2 does not answer pod-$1"
  done
}

# join_meanwhile: node c comes while TCP flows from a to b.
join_meanwhile() {
  local flow=$state/flow.log client start
  in_namespace "$prefix-pod-b" timeout 60 iperf3 --server --one-off >/dev/null 2>&1 &
  sleep 0.5
  in_namespace "$prefix-pod-a" timeout 60 iperf3 --client "${pod4[$prefix-b]}" --time 8 --interval 1 --format m >"$flow" 2>&1 &
  client=$!
  sleep 1
  start=$SECONDS
  join c
  answers c a
  echo "  joined and reached within $((SECONDS - start + 1)) s"
  wait "$client" || die "the flow from a to b broke: $(tail -1 "$flow")"
  awk '/sec/ && !/sender|receiver/ { for (i = 1; i < NF; i++) if ($(i + 1) == "Mbits/sec") { if (n == 0 || $i < least) least = $i; n++ } }
       /receiver/ { for (i = 1; i < NF; i++) if ($(i + 1) == "Mbits/sec") print "  meanwhile from a to b: " $i " Mbit/s, in its slowest second " least " Mbit/s" }' "$flow"
  pod_ping "$prefix" c -c 2 -i 0.2 "${pod4[$prefix-b]}"
}
