#!/bin/sh
# Installs or upgrades gingham on this machine from a checkout: one folder a release, settings in one file, three units.
#
#   deploy/install.sh --env FILE [--no-start]     the first time
#   deploy/install.sh [--env FILE] [--no-start]   again: upgrades, or does nothing where all is as it should be
#
# Nothing is touched before the settings have been read by the daemons themselves. Daemons are restarted one after the
# other, each only once the one before it is ready; with a kernel backend no packet is lost.

set -eu
umask 022

PREFIX=/opt/gingham
SETTINGS=/etc/gingham/gingham.env
UNITS=/etc/systemd/system
COMMAND=/usr/local/bin/gingham
READY_SECONDS=60
RELEASES_KEPT=2

say() { echo "install: $*"; }
fail() { echo "install: $*" >&2; exit 1; }

env_file='' start=yes
while [ $# -gt 0 ]; do
  case $1 in
    --env) [ $# -ge 2 ] || fail '--env takes the path of a file'; env_file=$2; shift 2 ;;
    --no-start) start=no; shift ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) fail "$1 is not known: it takes --env FILE and --no-start" ;;
  esac
done

source=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" = 0 ] || fail 'run it as root: it makes a user, units and folders'
[ "$(uname -s)" = Linux ] || fail "this is $(uname -s); gingham runs on Linux"
command -v node > /dev/null || fail 'Node.js 20.19 or later is needed: there is no node on the PATH'
wanted=${env_file:-$SETTINGS}
[ -r "$wanted" ] || fail "there is no $wanted: give --env FILE (deploy/gingham.env.example is one to start from)"

# Runs a command with the variables of a settings file, as systemd would: lines, not shell.
with_settings() {
  (
    while IFS= read -r line || [ -n "$line" ]; do
      case $line in '' | '#'* | ';'*) ;; *=*) export "${line?}" ;; *) fail "$1: \"$line\" is no VARIABLE=value" ;; esac
    done < "$1"
    shift
    "$@"
  )
}

setting() { sed -n "s/^$2=//p" "$1" | tail -n 1 | tr -d "\"'"; }

(cd "$source" && node setup.mjs build) || fail 'the build failed'

daemons='flanneld bgpd felix'
[ "$(setting "$wanted" FELIX_FEED)" = flanneld ] && daemons='flanneld felix'
for daemon in $daemons; do
  with_settings "$wanted" node "$source/dist/$daemon/main.js" --check-settings ||
    fail "$wanted: see above; nothing was changed"
done

# A release is named by what is in it, so that the same checkout gives the same name.
version=$(node -p 'require(process.argv[1]).version' "$source/package.json")
digest=$(cd "$source" && { find dist -name '*.js' -type f | LC_ALL=C sort | xargs cat; cat package-lock.json; node --version; } |
  sha256sum | cut -c1-12)
release=$PREFIX/releases/$version-$digest
new=$PREFIX/releases/.new-$$
trap 'rm -rf "$new"' EXIT

if [ ! -d "$release" ]; then
  say "making $release"
  mkdir -p "$new/bin"
  cp -r "$source/dist" "$source/package.json" "$source/package-lock.json" "$source/node_modules" "$new/"
  rm -rf "$new/dist/test"
  (cd "$new" && npm prune --omit=dev --ignore-scripts --no-audit --no-fund --silent)
  # A Node.js of its own: what the system upgrades, or a home folder hides, does not end the daemons.
  cp "$(node -p process.execPath)" "$new/bin/node"
  for daemon in flanneld bgpd felix; do
    printf '#!/bin/sh\nexec %s/bin/node %s/dist/%s/main.js "$@"\n' "$release" "$release" "$daemon" > "$new/bin/gingham-$daemon"
  done
  printf '#!/bin/sh\nexec %s/bin/node %s/dist/ctl/main.js "$@"\n' "$PREFIX/current" "$PREFIX/current" > "$new/bin/gingham"
  chmod 755 "$new"/bin/*
  mv "$new" "$release"
fi

getent group gingham > /dev/null || groupadd --system gingham
getent passwd gingham > /dev/null ||
  useradd --system --gid gingham --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin gingham

changed=no
if [ "$(readlink "$PREFIX/current" 2> /dev/null)" != "$release" ]; then
  ln -s "$release" "$PREFIX/.current-$$"
  mv -T "$PREFIX/.current-$$" "$PREFIX/current"
  changed=yes
  say "current release: $release"
fi
put() { # FILE TARGET MODE GROUP
  cmp -s "$1" "$2" && return
  install -D -m "$3" -o root -g "$4" "$1" "$2"
  changed=yes
  say "wrote $2"
}
[ "$wanted" = "$SETTINGS" ] || put "$wanted" "$SETTINGS" 640 gingham
for daemon in flanneld bgpd felix; do put "$source/deploy/systemd/gingham-$daemon.service" "$UNITS/gingham-$daemon.service" 644 root; done
ln -sfn "$PREFIX/current/bin/gingham" "$COMMAND"
mkdir -p /etc/bash_completion.d && "$COMMAND" completion bash > /etc/bash_completion.d/gingham

# The release before this one stays, for the way back: ln -sfn it to $PREFIX/current and restart.
(cd "$PREFIX/releases" && ls -1dt -- */ | tail -n +$((RELEASES_KEPT + 1)) | while IFS= read -r old; do
  [ "$PREFIX/releases/${old%/}" = "$release" ] || rm -rf -- "${old:?}"
done)

if [ ! -d /run/systemd/system ]; then
  say 'systemd does not run here: files are in place, nothing was started'
  exit 0
fi
systemctl daemon-reload
if [ "$start" = no ]; then
  say 'not started (--no-start)'
  exit 0
fi
case $daemons in *bgpd*) ;; *) systemctl disable --quiet --now gingham-bgpd.service ;; esac

wait_ready() {
  tries=0
  until "$COMMAND" health "$1" 2> /dev/null; do
    tries=$((tries + 1))
    if [ $tries -ge $((READY_SECONDS * 5)) ]; then
      "$COMMAND" health "$1" || true
      fail "$1 is not ready after $READY_SECONDS s; see: journalctl -u gingham-$1; the other daemons were left as they were"
    fi
    sleep 0.2
  done
}

for daemon in $daemons; do
  unit=gingham-$daemon.service
  systemctl enable --quiet "$unit"
  if [ $changed = yes ] || ! systemctl is-active --quiet "$unit"; then
    systemctl restart "$unit"
    say "$daemon started"
  fi
  wait_ready "$daemon"
done
[ $changed = yes ] && say 'ready' || say 'nothing to do: all is as it should be'
