# certificates: probe and apply.

# Where it is kept what the public half of a key hashes to, beside the hash of the file that it was read from.
CERTIFICATE_KEYS=/var/lib/deploy/keys

# certificate_public KEY-FILE : in certificate_public the hash of its public half; empty where it is no key.
certificate_public() {
    certificate_public=$(openssl pkey -in "$1" -pubout -outform DER 2>/dev/null | sha256sum)
    # The hash of nothing says that there is no readable key.
    case $certificate_public in e3b0c44298fc1c14*) certificate_public='' ;; esac
    certificate_public=${certificate_public%% *}
}

# What is in the certificate files that a script asks about: a line `FILE//TEXT` each, its own lines ended by bars.
CERTIFICATES=''

# certificates_read FILE… : from now on certificate_text knows these, all by one process. Keys beside them stay where they are.
certificates_read() {
    for certificate_file do
        shift
        if [ -f "$certificate_file" ]; then set -- "$@" "$certificate_file"; fi
    done
    CERTIFICATES=''
    [ $# -eq 0 ] || CERTIFICATES=$(awk '
        FNR == 1 { within = 0; printf "%s%s//", end, FILENAME; end = "\n" }
        /-BEGIN / { within = /-BEGIN CERTIFICATE-/ }
        within { printf "%s|", $0 }
        /-END CERTIFICATE-/ { within = 0 }' "$@")
}

# certificate_text FILE : in LINE what it holds; empty where that is no certificate.
certificate_text() {
    line_of "$CERTIFICATES" "$1//" ''
    [ -z "$LINE" ] || return 0
    certificates_read "$1"
    line_of "$CERTIFICATES" "$1//" ''
}

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
    if [ -f "$certificate_file" ]; then
        certificate_text "$certificate_file"
        printf 'certificate=%s\n' "${LINE:-none}"
    fi
    # shellcheck disable=SC3013 # every sh of Debian knows -nt
    if [ "${1%/*}/ca.crt" -nt "$certificate_file" ]; then echo authority=newer; fi
    if [ -f "$certificate_key" ]; then
        path_stat "$certificate_key"
        path_hash "$certificate_key"
        certificate_known=''
        certificate_public=''
        [ -r "$CERTIFICATE_KEYS$1" ] && read -r certificate_known certificate_public <"$CERTIFICATE_KEYS$1"
        [ "$certificate_known" = "$PATH_HASH" ] || certificate_public "$certificate_key"
        printf 'owner=%s\nmode=%s\nkey=%s\n' "$PATH_OWNER" "$PATH_MODE" "$certificate_public"
    fi
}

# certificate_apply PATH LAYOUT OWNER MODE FOLDER : puts certificate and key in place, the old ones kept.
certificate_apply() {
    [ -d "${1%/*}" ] || mkdir -p -- "${1%/*}"
    certificate_public "$5/key"
    if [ "$2" = pem ]; then
        cat "$5/crt" "$5/key" >"$5/pem"
        file_stage "$1.pem" "$3" "$4" "$5/pem"
        files_ready "$1.pem"
        paths_hash "$5/pem"
        certificate_commit "$1.pem" "$5/pem" "$3" "$4"
        certificate_known=$PATH_HASH
    else
        file_stage "$1.key" "$3" "$4" "$5/key"
        file_stage "$1.crt" "$3" 0644 "$5/crt"
        files_ready "$1.key" "$1.crt"
        paths_hash "$5/key" "$5/crt"
        certificate_commit "$1.key" "$5/key" "$3" "$4"
        certificate_known=$PATH_HASH
        certificate_commit "$1.crt" "$5/crt" "$3" 0644
    fi
    # The probe need not read this key again.
    [ -d "$CERTIFICATE_KEYS${1%/*}" ] || mkdir -p -- "$CERTIFICATE_KEYS${1%/*}"
    printf '%s %s\n' "$certificate_known" "$certificate_public" >"$CERTIFICATE_KEYS$1"
}

# certificate_commit FILE PAYLOAD OWNER MODE : puts a staged file in its place; PATH_HASH is then its hash.
certificate_commit() {
    path_hash "$2"
    file_commit "$1" "$PATH_HASH $3 ${4#0}"
}

# certificate_restore PATH LAYOUT : what certificate_apply took away in this run is back, certificate and key or neither. A step
# that failed before that has taken nothing away.
certificate_restore() {
    if [ "$2" = pem ]; then certificate_endings=pem; else certificate_endings='key crt'; fi
    for certificate_ending in $certificate_endings; do
        [ -e "$RUN_DIR/files$1.$certificate_ending" ] || return 0
    done
    for certificate_ending in $certificate_endings; do
        printf '%s\n' "$1.$certificate_ending.deploy-new" >>"$RUN_DIR/staged"
        cp -a -- "$RUN_DIR/files$1.$certificate_ending" "$1.$certificate_ending.deploy-new"
    done
    for certificate_ending in $certificate_endings; do
        mv -fT -- "$1.$certificate_ending.deploy-new" "$1.$certificate_ending"
    done
}

# certificate_own PATH LAYOUT OWNER MODE
certificate_own() {
    if [ "$2" = pem ]; then certificate_key=$1.pem; else certificate_key=$1.key; fi
    chown -- "$3" "$certificate_key"
    chmod -- "$4" "$certificate_key"
}

