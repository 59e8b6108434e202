# Runs inside an image: fetches the package lists, and the archives of the packages named, installing nothing.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o APT::Update::Error-Mode=any update
[ $# -eq 0 ] || apt-get -qq --no-install-recommends --download-only install "$@"
