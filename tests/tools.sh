#!/bin/sh
# Installs what is missing on this machine: a Rust toolchain, the lab's programs and the suite's own. Debian only.
set -eu

PATH=$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin:$PATH
missing=
# need PROGRAM PACKAGE
need() {
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need age age
need git git
need cc gcc
need ld binutils
need ip iproute2
need iptables iptables
need nft nftables
need mmdebstrap mmdebstrap
need openssl openssl
need perl perl-base
need psql postgresql-client
need setsid util-linux
need shellcheck shellcheck
need ssh openssh-client
need sysctl procps
need systemd-nspawn systemd-container
need wrk wrk
need curl curl
/usr/bin/python3 -c 'import redis.sentinel' 2>/dev/null || missing="$missing python3-redis"
[ -e /usr/include/errno.h ] || missing="$missing libc6-dev"
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"
if ! command -v cargo >/dev/null 2>&1; then
    # Of a package that no list names yet, apt knows nothing.
    [ "$(id -u)" != 0 ] || apt-get update -qq
    if apt-cache show rustup >/dev/null 2>&1; then
        missing="$missing rustup"
    else
        echo "there is no cargo here, and no package rustup in this Debian: install Rust 1.90 or later with rustup" >&2
        exit 1
    fi
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "missing on this machine; as root: apt-get install -y --no-install-recommends$missing" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of packages
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
if ! cargo --version >/dev/null 2>&1; then
    rustup default stable
fi
if command -v rustup >/dev/null 2>&1; then
    for component in clippy rustfmt; do
        cargo "$(echo $component | sed s/rust//)" --version >/dev/null 2>&1 || rustup component add "$component"
    done
fi
