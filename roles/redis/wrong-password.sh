#!/bin/sh
# A wrong password is refused, and so is none.
# ADDRESS: of this node. PORT: of Redis.
as() {
    timeout 5 redis-cli --tls --cacert /etc/redis/tls/ca.crt -h "$ADDRESS" -p "$PORT" "$@" PING 2>&1
}
unset REDISCLI_AUTH
case $(as) in
    *PONG*)
        echo "a connection without a password was let in"
        exit 1
        ;;
    *NOAUTH*) ;;
    *)
        echo "it could not be seen whether a connection without a password is refused: $(as | tail -n 1)"
        exit 1
        ;;
esac
export REDISCLI_AUTH=wrong
case $(as --user app) in
    *WRONGPASS*)
        echo "a wrong password is refused"
        exit 0
        ;;
esac
echo "it could not be seen whether a wrong password is refused: $(as --user app | tail -n 1)"
exit 1
