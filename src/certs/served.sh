# what a port serves: the certificate of a real handshake.

# served_probe ADDRESS PORT STARTTLS [NAME] : what is shown to who asks for that name, or for none.
served_probe() {
    # shellcheck disable=SC2086 # one option with its value, or none
    served_pem=$(timeout 8 openssl s_client -connect "$1:$2" ${3:+-starttls $3} ${4:+-servername $4} </dev/null 2>/dev/null |
        sed -n '/-BEGIN CERTIFICATE-/,/-END CERTIFICATE-/p' | tr '\n' '|')
    printf 'served=%s\n' "$served_pem"
}

