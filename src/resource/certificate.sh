# certificates: probe and apply.

# certificate_probe PATH LAYOUT : the certificate, the hash of the key's public half, the key file's owner and mode, and
# whether the authorities beside it are newer.
certificate_probe() {
    if [ "$2" = pem ]; then
        certificate_file=$1.pem
        certificate_key=$1.pem
    else
        certificate_file=$1.crt
        certificate_key=$1.key
    fi
    [ -f "$certificate_file" ] && printf 'certificate=%s\n' "$(
        sed -n '/-BEGIN CERTIFICATE-/,/-END CERTIFICATE-/p' <"$certificate_file" | base64 -w0
    )"
    # shellcheck disable=SC3013 # every sh of Debian knows -nt
    if [ "${1%/*}/ca.crt" -nt "$certificate_file" ]; then echo authority=newer; fi
    if [ -f "$certificate_key" ]; then
        stat -c 'owner=%U:%G
mode=%a' -- "$certificate_key"
        certificate_public=$(openssl pkey -in "$certificate_key" -pubout -outform DER 2>/dev/null | sha256sum)
        # The hash of nothing says that there is no readable key.
        case $certificate_public in e3b0c44298fc1c14*) certificate_public='' ;; esac
        printf 'key=%s\n' "${certificate_public%% *}"
    fi
}

# certificate_apply PATH LAYOUT OWNER MODE FOLDER : puts certificate and key in place, the old ones kept.
certificate_apply() {
    [ -d "${1%/*}" ] || mkdir -p -- "${1%/*}"
    if [ "$2" = pem ]; then
        cat "$5/crt" "$5/key" >"$5/pem"
        file_stage "$1.pem" "$3" "$4" "$5/pem"
        file_commit "$1.pem"
    else
        file_stage "$1.key" "$3" "$4" "$5/key"
        file_stage "$1.crt" "$3" 0644 "$5/crt"
        file_commit "$1.key"
        file_commit "$1.crt"
    fi
}

# certificate_restore PATH LAYOUT : what certificate_apply took away in this run is back. A step that failed before that
# has taken nothing away.
certificate_restore() {
    if [ "$2" = pem ]; then certificate_endings=pem; else certificate_endings='key crt'; fi
    for certificate_ending in $certificate_endings; do
        [ -e "$RUN_DIR/files$1.$certificate_ending" ] || continue
        cp -a -- "$RUN_DIR/files$1.$certificate_ending" "$1.$certificate_ending.deploy-new"
        mv -fT -- "$1.$certificate_ending.deploy-new" "$1.$certificate_ending"
    done
}

# certificate_own PATH LAYOUT OWNER MODE
certificate_own() {
    if [ "$2" = pem ]; then certificate_key=$1.pem; else certificate_key=$1.key; fi
    chown -- "$3" "$certificate_key"
    chmod -- "$4" "$certificate_key"
}

