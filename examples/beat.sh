#!/usr/bin/env bash
# One beat of a service to a heartprobe monitor, by bash, dd and od alone: for hosts where nothing can be installed.
#
#     beat.sh --to mon-1.example.org:4863 --service backup [--host NAME] [--key FILE]
#
# The format is described in docs/wire.md. bash counts in 64 bits and lets them overflow, as SipHash wants it.
set -euo pipefail

# $1 turned left by $2 bits: bash's own >> would draw the sign in.
rotated() { R=$((($1 << $2) | (($1 >> (64 - $2)) & ((1 << $2) - 1)))); }

rounds() {
    for ((i = 0; i < $1; i++)); do
        v0=$((v0 + v1)); rotated $v1 13; v1=$((R ^ v0)); rotated $v0 32; v0=$R
        v2=$((v2 + v3)); rotated $v3 16; v3=$((R ^ v2))
        v0=$((v0 + v3)); rotated $v3 21; v3=$((R ^ v0))
        v2=$((v2 + v1)); rotated $v1 17; v1=$((R ^ v2)); rotated $v2 32; v2=$R
    done
}

# A little-endian word, from 16 hex digits.
word() { W=$((16#${1:14:2}${1:12:2}${1:10:2}${1:8:2}${1:6:2}${1:4:2}${1:2:2}${1:0:2})); }

# SipHash-2-4 with key $1 of the bytes $2, both in hex; the result in hex, too.
siphash24() {
    local length=$((${#2} / 2)) k0 at
    word "${1:0:16}"; k0=$W; word "${1:16:16}"
    v0=$((k0 ^ 0x736f6d6570736575)) v1=$((W ^ 0x646f72616e646f6d))
    v2=$((k0 ^ 0x6c7967656e657261)) v3=$((W ^ 0x7465646279746573))
    # The last word is filled up with zeros, and holds the length in its top byte.
    local data=$2${ZERO:0:$((14 - 2 * (length % 8)))}$(printf %02x $((length % 256)))
    for ((at = 0; at < ${#data}; at += 16)); do
        word "${data:at:16}"
        v3=$((v3 ^ W)); local absorbed=$W; rounds 2; v0=$((v0 ^ absorbed))
    done
    v2=$((v2 ^ 0xff)); rounds 4
    printf -v HASH '%016x' $((v0 ^ v1 ^ v2 ^ v3))
}

# What a name is on the wire: its hash under the key of zeros.
identity() { siphash24 "$ZERO" "$(printf %s "$1" | od -An -v -tx1 | tr -d ' \n')"; }

ZERO=00000000000000000000000000000000
key=$ZERO host=$(uname -n) to='' service=''
while (($# > 1)); do
    case $1 in
        --to) to=$2 ;;
        --service) service=$2 ;;
        --host) host=$2 ;;
        --key) key=$(tr -d '[:space:]' <"$2") ;;
        *) break ;;
    esac
    shift 2
done
if (($#)) || [[ -z $to || -z $service || ! $key =~ ^[0-9a-fA-F]{32}$ ]]; then
    echo "usage: beat.sh --to HOST:PORT --service NAME [--host NAME] [--key FILE]" >&2
    exit 2
fi

read -r boot_id </proc/sys/kernel/random/boot_id
read -r uptime _ </proc/uptime
identity "$boot_id"; boot=${HASH:8}
identity "$host"; host=$HASH
identity "$service"; service=$HASH
epoch=$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')
[[ $epoch == 00000000 ]] && epoch=00000001
# Seconds with two digits behind the point.
printf -v time %016x $((10#${uptime/./} * 10000000))

# Magic, beat without ack; target 0, the epoch's first; health not known; session timeout: the monitor's.
beat=48425431030000000000000000000001${epoch}ffffffff${time}${host}${service}${boot}00000000
siphash24 "$key" "$beat"
# dd makes one datagram of it: bash itself would send one for each line.
printf "$(sed 's/../\\x&/g' <<<"$beat$HASH")" | dd ibs=64 obs=64 status=none >"/dev/udp/${to%:*}/${to##*:}"
