"""A network whose packets arrive late, where the kernel has no netem: hands them from namespace to namespace.

python benchmarks/distributed_relay.py COUNT SECONDS

Makes a device ``t0``, ``t1``, … for each of COUNT network namespaces ``w0``, ``w1``, …, which have the addresses
10.9.0.1, 10.9.0.2, …, prints "ready", and delivers each packet SECONDS after it was sent. Needs root.
"""

import fcntl
import heapq
import itertools
import os
import select
import struct
import subprocess
import sys
import time

SET_DEVICE, IS_TUN, NO_HEADER = 0x400454CA, 1, 0x1000  # linux/if_tun.h
PACKET = 1 << 16  # bytes, at most
MTU = 65000  # bytes: few packets, so that handing them on takes little time beside the delay


def device(number):
    """A file of the packets that a namespace sends and gets."""
    found = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(found, SET_DEVICE, struct.pack("16sH", f"t{number}".encode(), IS_TUN | NO_HEADER))
    inside = f"ip netns exec w{number} ip"
    for command in (
        f"ip link set t{number} netns w{number}",
        f"{inside} link set e{number} down",
        f"{inside} addr flush dev e{number}",
        f"{inside} addr add 10.9.0.{number + 1}/24 dev t{number}",
        f"{inside} link set t{number} mtu {MTU} up",
    ):
        subprocess.run(command.split(), check=True)
    return found


def relay(devices, delay):
    """Hand packets on, without end."""
    waiting, order = [], itertools.count()  # (when, a number that keeps the order, device, packet)
    while True:
        now = time.perf_counter()
        while waiting and waiting[0][0] <= now:
            _, _, target, packet = heapq.heappop(waiting)
            os.write(target, packet)
        left = max(0.0, waiting[0][0] - time.perf_counter()) if waiting else None
        for source in select.select(devices, [], [], left)[0]:
            packet = os.read(source, PACKET)
            if packet[0] >> 4 == 4 and 0 < packet[19] <= len(devices):  # of IP version 4, to one of those here
                heapq.heappush(waiting, (time.perf_counter() + delay, next(order), devices[packet[19] - 1], packet))


def main():
    """Make the devices, and relay."""
    devices = [device(number) for number in range(int(sys.argv[1]))]
    print("ready", flush=True)
    relay(devices, float(sys.argv[2]))


if __name__ == "__main__":
    main()
