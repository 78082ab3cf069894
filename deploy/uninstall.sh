#!/bin/sh
# Removes gingham from this machine: units, releases, the command, and what the daemons left in the kernel.
#
#   deploy/uninstall.sh [--purge]      --purge removes the settings in /etc/gingham and the user too
#
# Pods lose their way to other nodes. The lease in etcd ends by itself; this node's name gets the same subnet until then.

set -eu

say() { echo "uninstall: $*"; }
fail() { echo "uninstall: $*" >&2; exit 1; }

purge=no
case ${1-} in '') ;; --purge) purge=yes ;; -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;; *) fail "$1 is not known: it takes --purge" ;; esac
[ "$(id -u)" = 0 ] || fail 'run it as root'

if [ -d /run/systemd/system ]; then
  for daemon in felix bgpd flanneld; do
    systemctl disable --quiet --now "gingham-$daemon.service" 2> /dev/null || true
  done
fi
rm -f /etc/systemd/system/gingham-flanneld.service /etc/systemd/system/gingham-bgpd.service \
  /etc/systemd/system/gingham-felix.service /usr/local/bin/gingham /etc/bash_completion.d/gingham
[ -d /run/systemd/system ] && systemctl daemon-reload

# Ours by their mark: protocol 71, the table's name, the alias of the device.
for family in 4 6; do ip "-$family" route flush table all proto 71 2> /dev/null || true; done
ip nexthop flush proto 71 > /dev/null 2>&1 || true
if command -v nft > /dev/null; then nft delete table inet gingham 2> /dev/null || true; fi
ip -o link show | sed -n 's/^[0-9]*: \([^:@]*\)[:@].*alias gingham$/\1/p' | while IFS= read -r device; do
  ip link delete "$device" && say "removed the device $device"
done

rm -rf /opt/gingham /run/gingham
if [ $purge = yes ]; then
  rm -rf /etc/gingham
  getent passwd gingham > /dev/null && userdel gingham
  getent group gingham > /dev/null && groupdel gingham
fi
say "gone$([ $purge = yes ] || echo '; settings stay in /etc/gingham (--purge removes them)')"
