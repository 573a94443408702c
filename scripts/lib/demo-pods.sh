# Pods that containerd makes, wired by overlay-cni: two hosts of their own with a containerd each. Sourced by scripts/demo.

# What ctr and its shims take, whether it is there or not.
containerd_folders=(/etc/cni /etc/cni/net.d /opt/cni /opt/cni/bin /run/containerd)

# have_containerd: whether pods can be made here; in one line why not.
have_containerd() {
  local said
  said=$(apt_install containerd runc busybox-static 2>&1) && return
  echo "  no pods by ctr: containerd cannot be installed here ($(tail -1 <<<"$said"))"
  return 1
}

# write_pods NODE FILE SOCKET: a configuration that lists its peers itself and wires pods.
write_pods() {
  local n=${number[$1]} folder=$state/ctr/$1
  write_configuration "$@"
  cat >>"$2" <<YAML
pods:
  ranges: [10.244.$n.0/24, "fd00:244:$n::/112"]
  socket: $folder/cni.sock
  state: $folder/pods
  conflist: { path: $folder/net.d/10-overlay.conflist }
YAML
}

# node_ctr NODE ARGUMENT...: ctr, beside the node's containerd.
node_ctr() {
  local node=$1
  shift
  nsenter --target "$(cat "$state/ctr/$node/containerd.pid")" --mount --net ctr --address "$state/ctr/$node/c.sock" --namespace "$prefix" "$@"
}

# start_containerd NODE: with the node's network and folders of its own in the places that ctr reads.
start_containerd() {
  local node=$1 folder=$state/ctr/$1 deadline=$((SECONDS + 30))
  mkdir -p "$folder/bin"
  ln -s "$(dirname "$overlayd")/overlay-cni" "$folder/bin/overlay-cni"
  cat >"$folder/containerd.toml" <<TOML
version = 2
root = "$folder/root"
state = "$folder/run"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "$folder/c.sock"
TOML
  # Not by ip-netns(8), which hides the control groups. What it mounts ends with it.
  setsid nsenter "--net=/run/netns/$prefix-ctr-host-$node" unshare --mount sh -c 'mount --bind "$1/net.d" /etc/cni/net.d \
    && mount --bind "$1/bin" /opt/cni/bin && mount -t tmpfs tmpfs /run/containerd && exec containerd --config "$1/containerd.toml"' sh "$folder" \
    </dev/null >"$folder/containerd.log" 2>&1 &
  echo $! >"$folder/containerd.pid"
  until grep -qs 'containerd successfully booted' "$folder/containerd.log"; do
    kill -0 "$(cat "$folder/containerd.pid")" 2>/dev/null && [ $SECONDS -lt $deadline ] || die "containerd did not start: $(tail -3 "$folder/containerd.log")"
    sleep 0.05
  done
  node_ctr "$node" image import --snapshotter native "$state/ctr/busybox.tar" >/dev/null
}

# run_pod NODE: by ctr, which calls the plugin. Its namespace becomes PREFIX-ctr-pod-NODE, its addresses pod4 and pod6.
run_pod() {
  local node=$1 folder=$state/ctr/$1 key=$prefix-ctr-$1 deadline=$((SECONDS + 30)) pid
  local command=(run --cni --rm --snapshotter native localhost/busybox:test "pod-$node" /bin/sh -c "echo started; exec nc -ll -p 80 -e /bin/echo hello from pod-$node")
  printf '[host-%s] $ ctr %s\n' "$node" "${command[*]:0:6}"
  node_ctr "$node" "${command[@]}" </dev/null >"$folder/pod.log" 2>&1 &
  echo $! >"$folder/pod.pid"
  until grep -qs started "$folder/pod.log"; do
    kill -0 "$(cat "$folder/pod.pid")" 2>/dev/null && [ $SECONDS -lt $deadline ] || die "pod-$node did not start: $(cat "$folder/pod.log")"
    sleep 0.05
  done
  pid=$(node_ctr "$node" task ls | awk -v pod="pod-$node" '$1 == pod { print $2 }')
  ip netns attach "$prefix-ctr-pod-$node" "$pid"
  read -r _ _ _ pod4[$key] _ < <(ip -n "$prefix-ctr-pod-$node" -4 -o address show dev eth0)
  read -r _ _ _ pod6[$key] _ < <(ip -n "$prefix-ctr-pod-$node" -6 -o address show dev eth0 scope global)
  pod4[$key]=${pod4[$key]%/*} pod6[$key]=${pod6[$key]%/*}
}

# ask_pod ADDRESS: what the pod there says to pod a, by TCP.
ask_pod() {
  local said='' deadline=$((SECONDS + 20))
  printf '[pod-a] $ nc %s 80\n' "$1"
  # ctr may end before it has read what a short command printed.
  until [ -n "$said" ]; do
    [ $SECONDS -lt $deadline ] || die "$1 does not answer on port 80"
    said=$(node_ctr a task exec --exec-id "nc-$RANDOM" pod-a nc -w 5 "$1" 80 </dev/null) || true
  done
  echo "$said"
}

# runs NODE NAME: whether that process of the node still runs, and no other of its id.
runs() {
  grep -qs "$state/ctr/$1" "/proc/$(cat "$state/ctr/$1/$2.pid" 2>/dev/null)/cmdline"
}

# await_end NODE NAME: waits for the end of a process, which a kill hastens at the deadline.
await_end() {
  local deadline=$((SECONDS + 10))
  while runs "$@" && [ $SECONDS -lt $deadline ]; do sleep 0.05; done
  ! runs "$@" || kill -KILL "$(cat "$state/ctr/$1/$2.pid")" 2>/dev/null || true
}

# end_pods: has ctr delete the pods that run, and ends each containerd.
end_pods() {
  local node
  for node in a b; do
    runs "$node" containerd || continue
    node_ctr "$node" --timeout 10s task kill --signal SIGKILL "pod-$node" 2>/dev/null || true
    await_end "$node" pod
    # Where ctr ended early it left this.
    node_ctr "$node" --timeout 10s task delete --force "pod-$node" >/dev/null 2>&1 || true
    kill -TERM "$(cat "$state/ctr/$node/containerd.pid")" 2>/dev/null || true
    await_end "$node" containerd
  done
}

# remove_pod_traces: what containerd and ctr leave outside of their folders.
remove_pod_traces() {
  find /sys/fs/cgroup -depth -type d -path "*/$prefix*" -exec rmdir {} + 2>/dev/null || true
  [ ! -e "$state/made" ] || tac "$state/made" | xargs -r rmdir --ignore-fail-on-non-empty
}

# pods_by_containerd: a pod on each of two hosts, ping and TCP between them.
pods_by_containerd() {
  local folder node address pods=$prefix-ctr
  have_containerd || return 0
  mkdir -p "$state/ctr"
  for folder in "${containerd_folders[@]}"; do
    [ -d "$folder" ] || { mkdir "$folder" && echo "$folder" >>"$state/made"; }
  done
  "$root/scripts/lib/busybox-image" "$state/ctr/busybox.tar"
  create_underlay "$pods"
  for node in a b; do
    create_host "$pods" "$node" host
    start_daemon "$pods" "$node" "$state/ctr" write_pods
    start_containerd "$node"
  done
  for node in a b; do run_pod "$node"; done
  for node in a b; do
    [ "$node" = a ] || echo
    echo "[host-$node] \$ overlay pods"
    "$overlay" pods --socket "$state/ctr/node-$node.sock"
  done
  echo
  pod_ping "$pods" a -c 3 -i 0.2 "${pod4[$pods-b]}"
  pod_ping "$pods" b -c 3 -i 0.2 "${pod6[$pods-a]}"
  for address in "${pod4[$pods-b]}" "${pod6[$pods-b]}"; do ask_pod "$address"; done
  [ -n "$keep" ] || end_pods
}
