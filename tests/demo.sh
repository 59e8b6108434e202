#!/usr/bin/env bash
# The demo: three machines inside this one, deployed, verified, and shown.
# demo.sh DEPLOY INVENTORY-FOLDER
set -euo pipefail
deploy=$1
folder=$2

say() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}

say "An identity and the secret store beside the inventory"
"$deploy" init "$folder"
say "Three machines"
"$deploy" lab up "$folder"
say "The cluster"
"$deploy" apply --yes "$folder"
say "Every check"
"$deploy" verify "$folder"
say "Status"
"$deploy" status "$folder"

address=$(sed -n 's/^ *n1:.*address: *\([0-9.]*\).*/\1/p' "$folder/cluster.yaml")
config=$(sed -n 's/^ *config: *//p' "$folder/cluster.yaml")
# What clients check the cluster against.
"$deploy" certs ca "$folder" >"$folder/ca.crt"
cat <<TEXT

It is yours:
  the password of the role app      $deploy secrets show $folder postgresql/app
  connect                           psql 'host=$address port=6432 dbname=app user=app sslmode=verify-full sslrootcert=$folder/ca.crt'
  a machine                         ssh -F $config n1
  cut the power of one, and look    $deploy lab kill $folder n1; $deploy status $folder; $deploy lab start $folder n1
  take it all down                  make demo-down
TEXT
