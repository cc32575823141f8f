# shellcheck shell=bash
# Sourced by the scripts of deploy: installs what the stack needs on a bare Debian or Ubuntu, and builds it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Directories that an ordinary user's PATH may lack: of nginx, and of a toolchain installed by rustup.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin
# As root, another account runs the built programs.
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

# Runs cargo in the checkout, with its pinned toolchain. Ends when this script is killed.
cargo_here() { setpriv --pdeathsig TERM -- env -C "$root" cargo "$@"; }

# build PROFILE PACKAGE…: builds these packages, showing progress in one line and errors in full. A dependency must have the
# same features in every selection of packages, or it is compiled for each: deploy/test checks that.
build() {
    local profile=$1 packages=("${@:2}") total status=0
    packages=("${packages[@]/#/--package=}")
    say "downloading crates and building"
    total=$(cargo_here tree --locked --quiet --edges normal,build --prefix none --format '{p}' "${packages[@]}" |
        sed 's/ (.*//' | sort -u | wc -l) || return
    cargo_here build --profile "$profile" --locked --quiet --message-format json-render-diagnostics "${packages[@]}" \
        > >(show_progress "$total") || status=$?
    wait $!
    return $status
}

# show_progress TOTAL: counts the crates in cargo's JSON messages; rewrites one line on a terminal, else prints one every ten
# seconds.
show_progress() {
    local total=$1 started=$SECONDS next=$((SECONDS + 10)) line status=0
    local -A compiled=()
    while [ $status = 0 ] || [ $status -gt 128 ]; do
        # 128 and above: no message for a second.
        status=0 && IFS= read -r -t 1 line || status=$?
        if [ $status = 0 ] && [[ $line == '{"reason":"compiler-artifact"'* && $line != *'"kind":["custom-build"]'* ]]; then
            line=${line#*'"package_id":"'}
            compiled[${line%%\"*}]=1
        fi
        line="${#compiled[@]} of $total crates compiled, $((SECONDS - started)) s"
        if [ -t 1 ]; then
            printf '%s\033[K\r' "$line"
        elif [ $SECONDS -ge $next ]; then
            echo "$line"
            next=$((SECONDS + 10))
        fi
    done
    echo "$line"
}

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
    has apt-get || die "missing: $*. Install them; this script supports Debian and Ubuntu only."
    say "installing $*"
    as_root apt-get update -q
    as_root bash -c "$(declare -f without_starting); without_starting \"\$@\"" - \
        env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

# Runs "$@", which may install servers, and prevents Debian from starting them, now (policy-rc.d) and at boot: they would
# take the ports of the stack's own.
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
    for unit in postgresql redis-server nginx haproxy pgbouncer; do
        if [ -d /run/systemd/system ] && ! grep -qE "^$unit(\.service)?$" <<<"$before"; then
            systemctl disable --quiet "$unit" || true
        fi
    done
}

# Whether cargo is new enough; rustup installs the toolchain of rust-toolchain.toml itself.
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
