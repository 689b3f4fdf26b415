#!/bin/bash
# Unpacks a Debian package of another suite into a directory, without installing it: other-suite.sh SUITE PACKAGE DIR
# Static programs (Prometheus is one) run as they are. Signatures are checked; the system's own apt lists stay as they are.
set -euo pipefail
suite=$1 package=$2 directory=$3

mirror() {
  # The mirror this machine uses, where it is Debian's; another distribution's has no such suite.
  local sources=(/etc/apt/sources.list /etc/apt/sources.list.d/*)
  if grep -qs '^ID=debian$' /etc/os-release; then
    cat "${sources[@]}" 2>/dev/null | grep -v '^#' | grep -oE 'https?://[^ ]+' | grep -v security | head -n 1
  else
    echo https://deb.debian.org/debian
  fi
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/root"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || { echo "needs $keyring: apt-get install debian-archive-keyring" >&2; exit 1; }
echo "deb [signed-by=$keyring] $(mirror) $suite main" > "$work/sources.list"
apt=(apt-get -qq
  -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o "Dir::Cache::Archives=$work/archives"
  -o APT::Sandbox::User=root)
"${apt[@]}" update
cd "$work"
"${apt[@]}" download "$package"
dpkg-deb -x ./*.deb "$work/root"
# In one step, so that a run that was cut off leaves nothing that looks finished; another run may have been faster.
mkdir -p "$(dirname "$directory")"
staged=$(mktemp -d "$directory.XXXXXX")
cp -a "$work/root/." "$staged"
mv -T "$staged" "$directory" 2>/dev/null || { rm -rf "$staged"; [ -d "$directory" ]; }
