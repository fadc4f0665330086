#!/usr/bin/env bash
# install-needs.sh: installs with apt-get what the tests need and this machine lacks.
#
# Go (1.26), Node (20), git and make are expected to be there. Services that come with a package are
# not started: the tests start stores of their own (with-stores.sh).
set -euo pipefail

missing=()
need() { # need PACKAGE COMMAND...: COMMAND tells whether the package is needed no more
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}

have_initdb() { command -v initdb || ls /usr/lib/postgresql/*/bin/initdb; }
have_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
have_vietnamese_font() { fc-list :lang=vi | grep .; }

need postgresql have_initdb
need redis-server command -v redis-server
need redis-tools command -v redis-cli
need chromium have_chromium
need openssl command -v openssl
need libapache2-mod-auth-openidc test -e /usr/lib/apache2/modules/mod_auth_openidc.so
need gcc command -v gcc
need libc6-dev test -e /usr/include/stdlib.h
need fontconfig command -v fc-list
need fonts-noto-core have_vietnamese_font

[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "the tests need these Debian packages (or their like): ${missing[*]}" >&2
	exit 1
fi

# Debian's way to say that no service may start now (invoke-rc.d, deb-systemd-invoke).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing: ${missing[*]}"
apt-get update -qq
apt-get install -qq --no-install-recommends "${missing[@]}" >/dev/null
