#!/bin/sh
# A connection without TLS is refused.
# ADDRESS: of this node. PORT: of Redis.
said=$(timeout 5 redis-cli -h "$ADDRESS" -p "$PORT" PING 2>&1 </dev/null)
case $said in
    *PONG* | *NOAUTH* | *WRONGPASS*)
        echo "a connection without TLS was let in"
        exit 1
        ;;
    *'Connection reset'* | *'closed the connection'* | *'Server closed'* | *'I/O error'*)
        echo "a connection without TLS is refused"
        exit 0
        ;;
esac
echo "it could not be seen whether a connection without TLS is refused: $said"
exit 1
