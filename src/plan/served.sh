#!/bin/sh
# Holds when ADDRESS:PORT serves the CERTIFICATE on disk and it verifies against the AUTHORITY.
ADDRESS=${ADDRESS:?} PORT=${PORT:?} CERTIFICATE=${CERTIFICATE:?} AUTHORITY=${AUTHORITY:?}
# first : the first certificate of standard input, without its frame and in one line.
first() {
    sed -n '/-BEGIN CERTIFICATE-/,/-END CERTIFICATE-/ { /-END/ q; /-BEGIN/ !p; }' | tr -d '\r\n'
}
on_disk=$(first <"$CERTIFICATE")
if [ -z "$on_disk" ]; then
    echo "no certificate in $CERTIFICATE"
    exit 1
fi
# shellcheck disable=SC2086 # one option with its value, or none
reply=$(timeout 8 openssl s_client -connect "$ADDRESS:$PORT" ${STARTTLS:+-starttls $STARTTLS} -CAfile "$AUTHORITY" </dev/null 2>/dev/null)
served=$(printf '%s\n' "$reply" | first)
if [ -z "$served" ]; then
    echo "no certificate served on $ADDRESS:$PORT"
    exit 1
fi
if [ "$served" != "$on_disk" ]; then
    served=$(printf '%s\n' "$reply" | openssl x509 -noout -serial 2>/dev/null)
    echo "served $served, on disk $(openssl x509 -in "$CERTIFICATE" -noout -serial)"
    exit 1
fi
case $reply in
    *'Verify return code: 0 (ok)'*) echo "the one on disk, and it verifies" ;;
    *)
        printf '%s\n' "$reply" | grep 'Verify return code' | head -n1
        exit 1
        ;;
esac
