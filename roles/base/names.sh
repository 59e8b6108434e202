#!/bin/sh
# The name of every node leads to its address.
# NODES: name=address, parted by spaces.
wrong=
for node in $NODES; do
    name=${node%%=*}
    address=${node#*=}
    # The first answer is the one that programs use.
    found=$(getent hosts "$name" | awk 'NR == 1 { print $1 }')
    [ "$found" = "$address" ] || wrong="$wrong $name is ${found:-unknown} instead of $address;"
done
if [ -n "$wrong" ]; then
    echo "names that lead elsewhere:${wrong%;}"
    exit 1
fi
echo "every node's name leads to its address"
