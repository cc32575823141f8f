# shellcheck shell=bash
# Sourced by deploy/up and deploy/test: puts on a bare Debian or Ubuntu what the stack needs, and leaves alone what is there.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Where an ordinary user's PATH does not look: nginx, and a toolchain that rustup has installed.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin
# What is built here is run by another account where this one is root.
umask 022
target=$(cd "$root" && realpath -m "${CARGO_TARGET_DIR:-target}")

say() { printf '\033[1m== %s\033[0m\n' "$*"; }

die() {
    echo "$*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        die "root is needed for: $*"
    fi
}

# cargo in the checkout, where its pinned toolchain holds. It ends when this script is killed.
cargo_here() { setpriv --pdeathsig TERM -- env -C "$root" cargo "$@"; }

# The whole workspace, as in the tests: other selections want other features of the dependencies, and so compile them again.
build() { cargo_here build --release --locked --workspace; }

install() {
    local packages=()
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
    has redis-server || packages+=(redis-server)
    # With the module that limits connections at accept, from nginx 1.25.5 on: see nginx-settings.
    has nginx || packages+=(nginx libnginx-mod-stream)
    has cc || packages+=(gcc libc6-dev)
    has curl || packages+=(ca-certificates curl)
    if [ ${#packages[@]} -gt 0 ]; then install_packages "${packages[@]}"; fi
    has_toolchain || install_toolchain
}

install_packages() {
    has apt-get || die "missing: $*. Install them; only Debian's and Ubuntu's way is known here."
    say "installing $*"
    as_root apt-get update -q
    as_root bash -c "$(declare -f without_starting); without_starting \"\$@\"" - \
        env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

# Runs "$@", which may install servers, and keeps Debian from starting them: now (policy-rc.d) and at the next boot. The
# stack starts its own, and these would take their ports.
without_starting() {
    local policy=/usr/sbin/policy-rc.d before
    before=$(ls /etc/init.d /lib/systemd/system 2>/dev/null || true)
    if [ ! -e $policy ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    "$@" || return
    local unit
    for unit in postgresql redis-server nginx; do
        if [ -d /run/systemd/system ] && ! grep -qE "^$unit(\.service)?$" <<<"$before"; then
            systemctl disable --quiet "$unit" || true
        fi
    done
}

# One that is new enough: rustup's gets what rust-toolchain.toml names by itself.
has_toolchain() {
    has cargo || return
    has rustup && return
    local wanted found
    wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$root/rust-toolchain.toml")
    found=$(cargo --version | cut -d ' ' -f 2)
    [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ]
}

install_toolchain() {
    if apt-cache show rustup >/dev/null 2>&1; then
        install_packages rustup
    else
        say "installing a Rust toolchain with rustup"
        curl --proto '=https' --tlsv1.2 -fsS https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none
    fi
    hash -r
}
