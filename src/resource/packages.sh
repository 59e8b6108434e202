# packages: probe and apply. Sourced into the scripts of a run, never run by itself.

# packages_probe NAME… : prints NAME=VERSION for each that is fully installed.
packages_probe() {
    for packages_said in $(dpkg-query -W -f '${db:Status-Status}/${Package}=${Version}\n' "$@" 2>/dev/null); do
        case $packages_said in installed/*) echo "${packages_said#*/}" ;; esac
    done
}

# packages_get ARGUMENT… : apt-get, which waits for whoever else installs and keeps files as they are.
packages_get() {
    apt-get -o DPkg::Lock::Timeout=300 -o "DPkg::Path=$PACKAGES_BIN:/usr/sbin:/usr/bin:/sbin:/bin" \
        -o Dpkg::Options::=--force-confold -q -y --no-install-recommends "$@"
}

# The programs of packages_lazy, and what they leave behind: that unit files are to be read anew, and whose modules of Python
# are to be compiled.
PACKAGES_BIN=/var/lib/deploy/packages
PACKAGES_RELOAD=/run/deploy/packages.reload
PACKAGES_MODULES=/run/deploy/packages.modules

# packages_lazy : gives the programs of packages a systemctl that has unit files read anew before it starts something of which it
# knows older ones, not each time that it is asked to: every package asks, some of them three times, and all of systemd's
# generators run for each. And a py3compile that leaves to packages_compile what else were two processes of Python for each package.
packages_lazy() {
    mkdir -p $PACKAGES_BIN
    rm -f $PACKAGES_MODULES
    cat >$PACKAGES_BIN/py3compile <<END
#!/bin/sh
if [ \$# -ne 2 ] || [ "\$1" != -p ]; then exec /usr/bin/py3compile "\$@"; fi
echo "\$2" >>$PACKAGES_MODULES
END
    cat >$PACKAGES_BIN/systemctl <<END
#!/bin/sh
words=
for word do case \$word in -*) ;; *) words="\$words\$word " ;; esac done
case \$words in
'daemon-reload '*)
    : >$PACKAGES_RELOAD
    exit
    ;;
'' | 'cat '* | 'disable '* | 'enable '* | is-* | list-* | 'mask '* | 'preset '* | 'show '* | 'status '* | 'unmask '*) ;;
*)
    if [ -e $PACKAGES_RELOAD ]; then
        case \$(/usr/bin/systemctl show -P NeedDaemonReload -- \${words#* }) in
        *yes*)
            /usr/bin/systemctl daemon-reload
            rm -f $PACKAGES_RELOAD
            ;;
        esac
    fi
    ;;
esac
exec /usr/bin/systemctl "\$@"
END
    chmod 755 $PACKAGES_BIN/py3compile $PACKAGES_BIN/systemctl
}

# packages_compile : the modules of all packages that asked for it, by one process. What does not compile is compiled by nobody,
# and a module that is not only takes longer to be imported.
packages_compile() {
    [ -s $PACKAGES_MODULES ] || return 0
    # shellcheck disable=SC2046 # a list of names
    dpkg -L $(sort -u $PACKAGES_MODULES) | grep '^/usr/lib/python3/dist-packages/.*\.py$' |
        python3 -m py_compile - >/dev/null 2>&1 || true
    rm -f $PACKAGES_MODULES
}

# packages_mend : finishes what a run that was cut off has left half installed.
packages_mend() {
    [ -n "$(dpkg --audit)" ] || return 0
    packages_waits=60
    until packages_said=$(dpkg --configure -a --force-confold 2>&1); do
        # Unlike apt it does not wait for others itself.
        case $packages_said in *'lock was locked by'*) ;; *) break ;; esac
        packages_waits=$((packages_waits - 1))
        [ "$packages_waits" -gt 0 ] || break
        sleep 5
    done
    echo "$packages_said"
    [ -n "$(dpkg --audit)" ] || return 0
    packages_get -f install || { packages_get update && packages_get -f install; }
}

# packages_apply "UNIT…" NAME… : installs what is missing; the units stay masked until their role starts them.
packages_apply() {
    packages_masked=
    for unit in $1; do
        systemctl cat "$unit.service" >/dev/null 2>&1 || packages_masked="$packages_masked $unit.service"
    done
    # shellcheck disable=SC2086 # a list of names
    [ -z "$packages_masked" ] || systemctl mask --quiet --no-reload $packages_masked
    shift
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
    packages_lazy
    # What is masked as well.
    : >$PACKAGES_RELOAD
    packages_mend
    packages_failed=''
    packages_get install "$@" || { packages_get update && packages_get -f install "$@"; } || packages_failed=yes
    packages_compile
    rm -rf $PACKAGES_BIN
    [ ! -e $PACKAGES_RELOAD ] || systemctl daemon-reload
    rm -f $PACKAGES_RELOAD
    [ -z "$packages_failed" ]
}
