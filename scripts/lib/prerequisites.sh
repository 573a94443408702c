# Installs what a script needs and the machine lacks. Sourced, after `set -euo pipefail`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dotnet_home=/usr/local/share/dotnet
dotnet_channel=10.0
lab_packages=(
  mount openssl iproute2 iputils-ping iperf3 tcpdump tshark ethtool nftables procps gcc libc6-dev strace openvswitch-switch user-mode-linux etcd-server etcd-client sqlite3 libfaketime
  containerd podman containernetworking-plugins iptables prometheus busybox-static e2fsprogs xfsprogs btrfs-progs fdisk groff zsh
)

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_GENERATE_ASPNET_CERTIFICATE=false
# Nothing of the build may outlive the script that asked for it.
export MSBUILDDISABLENODEREUSE=1 DOTNET_CLI_USE_MSBUILD_SERVER=0 UseSharedCompilation=false

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

require_root() {
  [ "$(id -u)" -eq 0 ] || die "network namespaces and devices need root: run it as root, for example with sudo"
}

# apt_install PACKAGE...: installs those that are missing.
apt_install() {
  local package missing=()
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  [ "$(id -u)" -eq 0 ] || die "packages are missing (${missing[*]}): run it as root, or install them"
  echo "installing ${missing[*]}"
  apt_update
  apt_dormant "${missing[@]}" \
    || die "apt-get could not install ${missing[*]}: see above, check the package sources and the network"
}

# apt_dormant PACKAGE...: installs them without starting the services they bring, which the tests start by themselves as they need them.
apt_dormant() {
  local policy=/usr/sbin/policy-rc.d own='' status=0
  if [ ! -e "$policy" ]; then
    own=1
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null || status=$?
  [ -z "$own" ] || rm -f "$policy"
  return "$status"
}

apt_update() {
  [ -z "${apt_updated:-}" ] || return 0
  command -v apt-get >/dev/null || die "apt-get not found: these scripts install what they need on Debian and its derivatives"
  DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null \
    || die "apt-get update failed: see above, check the package sources and the network"
  apt_updated=1
}

# True when the SDK on the path satisfies global.json.
dotnet_fits() {
  command -v dotnet >/dev/null && (cd "$root" && dotnet --version >/dev/null 2>&1)
}

# Debian's npm does not go together with other builds of Node.js, so what is there is left alone.
ensure_node() {
  command -v node >/dev/null && command -v npm >/dev/null || apt_install nodejs npm
}

ensure_dotnet() {
  dotnet_fits && return
  export DOTNET_ROOT=$dotnet_home PATH="$dotnet_home:$PATH"
  dotnet_fits && return
  [ "$(id -u)" -eq 0 ] || die "the .NET $dotnet_channel SDK is missing: run it as root, or install it"
  apt_update
  if apt-cache show "dotnet-sdk-$dotnet_channel" >/dev/null 2>&1; then
    unset DOTNET_ROOT
    PATH=${PATH#"$dotnet_home:"}
    apt_install "dotnet-sdk-$dotnet_channel"
  else
    install_dotnet_by_script
  fi
  dotnet_fits || die "the .NET SDK was installed, but 'dotnet --version' does not accept $root/global.json"
}

install_dotnet_by_script() {
  # ICU is absent on a bare machine, and nothing here needs a culture.
  export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
  apt_install ca-certificates curl libssl3 libstdc++6 zlib1g
  echo "installing the .NET $dotnet_channel SDK into $dotnet_home"
  local installer
  installer=$(mktemp)
  curl -fsSL --retry 3 --max-time 120 -o "$installer" https://dot.net/v1/dotnet-install.sh \
    || die "could not fetch https://dot.net/v1/dotnet-install.sh: check the network, or install the .NET $dotnet_channel SDK"
  bash "$installer" --channel "$dotnet_channel" --install-dir "$dotnet_home" >/dev/null \
    || die "dotnet-install.sh could not install the .NET $dotnet_channel SDK into $dotnet_home: see above"
  rm -f "$installer"
}

# build PROJECT...: restores exactly what the lock files say, then builds the release configuration; speaks only of what is wrong.
build() {
  local project output
  # The CNI plugin is a C program.
  command -v gcc >/dev/null || apt_install gcc libc6-dev
  for project in "$@"; do
    echo "building $project"
    output=$(dotnet restore --locked-mode -v quiet "$root/$project" 2>&1 \
      && dotnet build --no-restore -c Release -v quiet -nologo "$root/$project" 2>&1) || {
      printf '%s\n' "$output" >&2
      return 1
    }
  done
}
