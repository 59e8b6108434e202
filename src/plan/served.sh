#!/bin/sh
# Holds when ADDRESS:PORT serves the CERTIFICATE on disk and it verifies against the AUTHORITY.
ADDRESS=${ADDRESS:?} PORT=${PORT:?} CERTIFICATE=${CERTIFICATE:?} AUTHORITY=${AUTHORITY:?}
on_disk=$(openssl x509 -in "$CERTIFICATE" -noout -serial) || exit 1
# shellcheck disable=SC2086 # one option with its value, or none
reply=$(timeout 8 openssl s_client -connect "$ADDRESS:$PORT" ${STARTTLS:+-starttls $STARTTLS} -CAfile "$AUTHORITY" </dev/null 2>/dev/null)
served=$(printf '%s\n' "$reply" | openssl x509 -noout -serial 2>/dev/null)
if [ -z "$served" ]; then
    echo "no certificate served on $ADDRESS:$PORT"
    exit 1
fi
if [ "$served" != "$on_disk" ]; then
    echo "served $served, on disk $on_disk"
    exit 1
fi
if ! printf '%s\n' "$reply" | grep -q 'Verify return code: 0 (ok)'; then
    printf '%s\n' "$reply" | grep 'Verify return code' | head -n1
    exit 1
fi
echo "$served"
