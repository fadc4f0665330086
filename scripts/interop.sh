#!/usr/bin/env bash
# interop.sh: libraries of others and Apache (test/interop) against the demo over TLS.
#
# Needs Node 20, npm, openssl and mod_auth_openidc (install-needs.sh). Goes to the network once, to
# install what package-lock.json pins; after that it works offline. IDP_BINARY names a program that
# is built already.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/idp-interop.XXXXXX")
trap 'rm -rf "$dir"' EXIT

cd "$root/test/interop"
# npm writes node_modules/.package-lock.json when it has installed everything.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
	npm ci --no-audit --no-fund --loglevel=error
fi

if [ -z "${IDP_BINARY:-}" ]; then
	(cd "$root" && go build -o "$dir/idp" ./cmd/idp)
	export IDP_BINARY="$dir/idp"
fi
# Tokens with our verdicts, for verdicts.test.js.
export IDP_VERDICTS="$dir/verdicts"
(cd "$root" && go test -count=1 -run '^TestTenThousandTokens$' ./provider)

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
	-addext 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1' -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>"$dir/openssl.log" ||
	{ cat "$dir/openssl.log" >&2; exit 1; }
export TLS_CERT_FILE="$dir/cert.pem" TLS_KEY_FILE="$dir/key.pem" NODE_EXTRA_CA_CERTS="$dir/cert.pem"
node --test --test-reporter=spec *.test.js
