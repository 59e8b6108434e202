#!/bin/sh
# The name of every node leads to its address.
# NODES: name=address, parted by spaces.
names=
for node in $NODES; do names="$names ${node%%=*}"; done
# shellcheck disable=SC2086 # a list of names
answers=$(getent hosts $names)
wrong=
for node in $NODES; do
    name=${node%%=*}
    found=
    # The first answer is the one that programs use.
    while read -r address words; do
        case " $words " in *" $name "*) found=$address && break ;; esac
    done <<END
$answers
END
    [ "$found" = "${node#*=}" ] || wrong="$wrong $name is ${found:-unknown} instead of ${node#*=};"
done
if [ -n "$wrong" ]; then
    echo "names that lead elsewhere:${wrong%;}"
    exit 1
fi
echo "every node's name leads to its address"
