#!/usr/bin/env python3
"""One beat of a service to a heartprobe monitor, by the standard library alone.

    beat.py --to mon-1.example.org:4863 --service backup --key /etc/heartprobe/key --ack

The format is described in docs/wire.md. With --ack it exits with 0 if the monitor acked a beat, else with 1.
"""

import argparse
import secrets
import socket
import struct
import sys
import time

BEAT, ACK = 3, 4
ACK_WANTED = 1
UNKNOWN = 0xFFFFFFFF
ATTEMPTS = 3
# Magic, kind, flags, key id, reserved; target, sequence, epoch, health; time, host, service; boot, session timeout.
FIELDS = struct.Struct(">4s4B4I3Q2I")
MASK = 0xFFFFFFFFFFFFFFFF


def siphash24(key, data):
    """SipHash-2-4 of some bytes as a number."""

    def rotate(x, by):
        return (x << by | x >> (64 - by)) & MASK

    def rounds(count):
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0 = (v0 + v1) & MASK
            v1 = rotate(v1, 13) ^ v0
            v0 = rotate(v0, 32)
            v2 = (v2 + v3) & MASK
            v3 = rotate(v3, 16) ^ v2
            v0 = (v0 + v3) & MASK
            v3 = rotate(v3, 21) ^ v0
            v2 = (v2 + v1) & MASK
            v1 = rotate(v1, 17) ^ v2
            v2 = rotate(v2, 32)

    k0, k1 = struct.unpack("<QQ", key)
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    # The last word is filled up with zeros, and holds the length in its top byte.
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v3 ^= word
        rounds(2)
        v0 ^= word
    v2 ^= 0xFF
    rounds(4)
    return v0 ^ v1 ^ v2 ^ v3


def identity(name):
    """What a name is on the wire: its hash under the key of zeros."""
    return siphash24(bytes(16), name.encode())


def boot():
    """A hash of this host's boot id; 0 if it is not known."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return identity(file.read().strip()) & 0xFFFFFFFF
    except OSError:
        return 0


def signed(key, fields):
    data = FIELDS.pack(*fields)
    return data + struct.pack(">Q", siphash24(key, data))


def beat(key, host, service, sequence, epoch, ack):
    flags = ACK_WANTED if ack else 0
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    names = identity(host), identity(service)
    return (b"HBT1", BEAT, flags, 0, 0, 0, sequence, epoch, UNKNOWN, now, *names, boot(), 0)


def arguments():
    parser = argparse.ArgumentParser(description="Send one beat of a service to a heartprobe monitor.")
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--service", required=True, metavar="NAME")
    parser.add_argument("--host", default=socket.gethostname(), metavar="NAME")
    parser.add_argument("--key", metavar="FILE", help="32 hex digits; without it, the key of zeros")
    parser.add_argument("--ack", action="store_true", help="wait for an ack, and try three times")
    parser.add_argument("--ack-timeout", type=float, default=1.0, metavar="SECONDS")
    return parser.parse_args()


def acked(sock, acks, seconds):
    """Whether one of these acks comes in time; whatever else comes is ignored."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            if sock.recv(65) in acks:
                return True
        except OSError:
            # Time is over, or nobody listens there yet.
            time.sleep(min(0.05, max(0, until - time.monotonic())))
    return False


def main():
    args = arguments()
    key = bytes(16)
    if args.key:
        with open(args.key) as file:
            key = bytes.fromhex(file.read().strip())
    name, _, port = args.to.rpartition(":")
    family, kind, protocol, _, address = socket.getaddrinfo(name.strip("[]"), port, type=socket.SOCK_DGRAM)[0]
    epoch = secrets.randbelow(0xFFFFFFFF) + 1
    acks = set()
    with socket.socket(family, kind, protocol) as sock:
        # Connected: only what comes from there is received.
        sock.connect(address)
        for sequence in range(1, (ATTEMPTS if args.ack else 1) + 1):
            fields = beat(key, args.host, args.service, sequence, epoch, args.ack)
            acks.add(signed(key, (fields[0], ACK, *fields[2:])))
            try:
                sock.send(signed(key, fields))
            except OSError as error:
                if not args.ack:
                    sys.exit(f"beat.py: cannot send to {args.to}: {error}")
            if not args.ack or acked(sock, acks, args.ack_timeout):
                return
    sys.exit(f"beat.py: no ack from {args.to}")


if __name__ == "__main__":
    main()
