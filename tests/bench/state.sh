# What a run may have changed on a node: sessions so far, revision of its files, starts of the two units that restart.
journalctl --sync
printf 'sessions=%s\n' "$(journalctl -q -o cat -t sshd -t sshd-session | grep -c '^Starting session:')"
printf 'revisions=%s\n' "$(sed -n 's/^REVISION=//p' /etc/bench-0[1-5].conf | sort | uniq -c | tr -s '\n ' ' ')"
for unit in bench-a bench-b bench-c bench-d; do
    printf '%s=%s\n' "$unit" "$(systemctl show -P InvocationID "$unit.service")"
done
