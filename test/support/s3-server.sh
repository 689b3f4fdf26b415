#!/bin/bash
# A throw-away Ceph RGW (S3) from Debian packages: one monitor, one OSD, one gateway, on loopback.
#   s3-server.sh start DIR PORT TLS_PORT MON_PORT   S3 on 127.0.0.1:PORT, with TLS on TLS_PORT (DIR/ca.pem signed it)
#   s3-server.sh stop DIR                           ends the processes that it started
#   s3-server.sh watch DIR PID                      stops it when process PID is gone
# Objects are in memory; PROM_DR_TEST_S3_STORE=bluestore has them on disk, as benchmarks want.
# PROM_DR_TEST_RGW=20 takes the gateway of Debian sid, in a chroot made with debootstrap (needs root, and mount).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=
if [ "${PROM_DR_TEST_RGW:-16}" != 16 ]; then ROOT=${PROM_DR_TEST_RGW_ROOT:-$HERE/../../.cache/rgw-$PROM_DR_TEST_RGW}; fi

in_root() { if [ -n "$ROOT" ]; then chroot "$ROOT" "$@"; else "$@"; fi; }

# mount_once MOUNT-ARGUMENTS... TARGET
mount_once() { local target=${!#}; mountpoint -q "$target" || mount "$@"; }

# The mirror that this machine's own apt uses.
mirror() {
  awk '$1=="URIs:"{print $2;exit} $1=="deb"{for(i=2;i<=NF;i++)if($i~/^http/){print $i;exit}}' \
    /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | head -1
}

prepare_root() {
  [ -n "$ROOT" ] || return 0
  mkdir -p "$ROOT"
  ROOT=$(cd "$ROOT" && pwd)
  if [ ! -e "$ROOT/.prom-dr-complete" ]; then
    debootstrap --variant=minbase sid "$ROOT" "$(mirror)" /usr/share/debootstrap/scripts/sid
    mount_once -t proc proc "$ROOT/proc"
    printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
    chmod +x "$ROOT/usr/sbin/policy-rc.d"
    DEBIAN_FRONTEND=noninteractive chroot "$ROOT" apt-get install -y -qq --no-install-recommends radosgw ceph-mon ceph-osd ceph-common
    touch "$ROOT/.prom-dr-complete"
  fi
  # /dev is the chroot's own, never a mount of the machine's: someone may remove the cache.
  mount_once -t proc proc "$ROOT/proc"
  mkdir -p "$ROOT$DIR"
  mount_once --bind "$DIR" "$ROOT$DIR"
  echo "$ROOT" >"$DIR/root"
}

background() {
  local name=$1
  shift
  if [ -n "$ROOT" ]; then set -- chroot "$ROOT" "$@"; fi
  setsid "$@" </dev/null >>"$DIR/log/$name.out" 2>&1 &
  echo $! >"$DIR/$name.pid"
}

# A zombie is dead.
alive() { case "$(sed -n 's/^State:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null)" in '' | Z*) return 1 ;; esac; }

wait_for_port() { # PORT NAME
  for _ in $(seq 300); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return 0; fi
    alive "$(cat "$DIR/$2.pid")" || break
    sleep 0.1
  done
  tail -20 "$DIR/log/$2.out" >&2
  exit 1
}

write_configuration() {
  # Without tcp_nodelay many answers take 40 ms more (Nagle's algorithm against delayed acknowledgements).
  cat >"$DIR/ceph.conf" <<CONF
[global]
fsid = $FSID
mon initial members = a
mon host = [v2:127.0.0.1:$MON_PORT/0]
public network = 127.0.0.1/32
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv4 = true
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = false
run dir = $DIR/run
admin socket = $DIR/run/\$name.asok
crash dir = $DIR/run
log file = $DIR/log/\$name.log
mon cluster log file = $DIR/log/cluster.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
mon allow pool delete = true
[mon]
mon data = $DIR/mon
paxos propose interval = 0.05
paxos min wait = 0.01
mon data avail crit = 1
mon data avail warn = 2
[osd]
osd data = $DIR/osd
osd objectstore = ${PROM_DR_TEST_S3_STORE:-memstore}
osd crush initial weight = 1
memstore device bytes = ${PROM_DR_TEST_S3_BYTES:-8589934592}
bluestore block size = ${PROM_DR_TEST_S3_BYTES:-8589934592}
bluestore fsck on mkfs = false
osd memory target = 1073741824
osd scrub begin hour = 0
osd scrub end hour = 1
osd deep scrub interval = 31536000
[client]
ms mon client mode = crc
rgw frontends = beast endpoint=127.0.0.1:$PORT ssl_endpoint=127.0.0.1:$TLS_PORT ssl_certificate=$DIR/ca.pem ssl_private_key=$DIR/tls.key tcp_nodelay=1
rgw thread pool size = 64
rgw crypt require ssl = false
rgw dynamic resharding = false
rgw enable usage log = false
rgw data log num shards = 8
rgw num control oids = 1
rgw gc max objs = 7
rgw gc obj min wait = 10
rgw gc processor period = 10
rgw gc processor max time = 10
rgw lc max objs = 7
rgw relaxed region enforcement = true
CONF
}

admin() { in_root radosgw-admin -c "$DIR/ceph.conf" -n client.rgw "$@" 2>>"$DIR/log/admin.err"; }

# A user, the region's name, and the storage classes that S3 knows.
configure_zone() {
  admin user create --uid=test --display-name=test --access-key="$PROM_DR_TEST_S3_ACCESS_KEY" --secret-key="$PROM_DR_TEST_S3_SECRET_KEY" >/dev/null
  admin zone get --rgw-zone=default >"$DIR/zone.json"
  admin zonegroup get --rgw-zonegroup=default >"$DIR/zonegroup.json"
  node - "$DIR" <<'JS'
const { readFileSync, writeFileSync } = require('node:fs')
const edit = (file, change) => {
  const value = JSON.parse(readFileSync(file, 'utf8'))
  change(value)
  writeFileSync(file, JSON.stringify(value))
}
const classes = ['STANDARD', 'STANDARD_IA', 'ONEZONE_IA', 'INTELLIGENT_TIERING', 'GLACIER_IR', 'GLACIER', 'DEEP_ARCHIVE']
edit(`${process.argv[2]}/zonegroup.json`, (group) => {
  group.api_name = 'us-east-1'
  for (const target of group.placement_targets) target.storage_classes = classes
})
edit(`${process.argv[2]}/zone.json`, (zone) => {
  for (const pool of zone.placement_pools) for (const name of classes.slice(1)) pool.val.storage_classes[name] = { data_pool: 'default.rgw.buckets.data' }
})
JS
  admin zone set --rgw-zone=default --infile "$DIR/zone.json" >/dev/null
  admin zonegroup set --rgw-zonegroup=default --infile "$DIR/zonegroup.json" >/dev/null
}

start() {
  mkdir -p "$DIR"/{mon,osd,log,run}
  prepare_root
  FSID=$(cat /proc/sys/kernel/random/uuid)
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$DIR/tls.key" -out "$DIR/ca.pem" 2>/dev/null
  write_configuration
  in_root monmaptool --create --fsid "$FSID" --addv a "[v2:127.0.0.1:$MON_PORT/0]" "$DIR/monmap" >"$DIR/log/mkfs.out" 2>&1
  in_root ceph-mon -c "$DIR/ceph.conf" --mkfs -i a --monmap "$DIR/monmap" >>"$DIR/log/mkfs.out" 2>&1
  background mon ceph-mon -c "$DIR/ceph.conf" -f -i a
  wait_for_port "$MON_PORT" mon
  local osd
  osd=$(cat /proc/sys/kernel/random/uuid)
  in_root ceph -c "$DIR/ceph.conf" osd new "$osd" >/dev/null
  in_root ceph-osd -c "$DIR/ceph.conf" -i 0 --mkfs --osd-uuid "$osd" >>"$DIR/log/mkfs.out" 2>&1
  background osd ceph-osd -c "$DIR/ceph.conf" -f -i 0
  configure_zone
  background rgw radosgw -c "$DIR/ceph.conf" -f -n client.rgw
  wait_for_port "$PORT" rgw
}

# The gateway takes many seconds for an orderly exit and keeps no state; the OSD's is in memory.
stop() {
  for name in rgw osd mon; do
    [ -s "$DIR/$name.pid" ] || continue
    kill -9 "$(cat "$DIR/$name.pid")" 2>/dev/null || true
    rm -f "$DIR/$name.pid"
  done
  [ -s "$DIR/root" ] || return 0
  ROOT=$(cat "$DIR/root")
  # A process that was just killed may hold the mounts for a moment.
  for _ in $(seq 50); do
    if ! mountpoint -q "$ROOT$DIR" || umount "$ROOT$DIR" 2>/dev/null; then break; fi
    sleep 0.1
  done
  rmdir "$ROOT$DIR" 2>/dev/null || true
  umount "$ROOT/proc" 2>/dev/null || true # another server may still use it
}

case "${1:-}" in
start)
  DIR=$2 PORT=$3 TLS_PORT=$4 MON_PORT=$5
  start
  ;;
stop)
  DIR=$2
  stop
  ;;
watch)
  DIR=$2
  while alive "$3"; do sleep 1; done
  stop
  rm -rf "$DIR"
  ;;
*)
  sed -n 2,7p "$0" >&2
  exit 2
  ;;
esac
