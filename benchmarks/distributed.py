"""Several workers: what a message costs, how trainings scale, what follows for other clusters (docs/distributed.md).

    python benchmarks/distributed.py --docs docs/distributed.md

Needs the extra ``distributed``. Each figure is the fastest of several; where trainings are compared, they take turns.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from minicnn.command_line.launching import mpiexec
from minicnn.distribution.sums import LARGE

WORKER = Path(__file__).with_name("distributed_worker.py")
SHARDS = 8
MARKS = "<!-- measured -->", "<!-- end -->"
CLUSTERS = {f"{rate} Gbit/s": 8 / (rate * 1e9) for rate in (10, 25, 100)}  # seconds a byte
LATENCY = 20e-6  # seconds, of a message between machines: assumed
COUNTS = (8, 64, 512)
BATCHES = {"LeNet-5": 128, "net_1": 128, "ResNet-18": 32}
SMALL, PAID = 3, 0.5  # rounds of small messages an iteration; part of the time that has to be computation


# ------------------------------------------------------------------------------------------------------- the model


@dataclass
class Costs:
    """What docs/distributed.md calls α, β and γ, in seconds: a message, a byte on the wire, a byte that is added."""

    alpha: float
    beta: float
    gamma: float


def exchange(costs, workers, size):
    """G(N): seconds until the gradients, `size` bytes, of N workers are added up everywhere."""
    rounds, others = math.ceil(math.log2(workers)), workers - 1
    if size < LARGE:
        return rounds * costs.alpha + others * size * (costs.beta + costs.gamma)
    return (others + rounds) * costs.alpha + others / workers * size * (2 * costs.beta + costs.gamma)


def iteration(costs, workers, shards, shard, rest, size):
    """T(N): seconds of an iteration of `shards` shards of `shard` seconds each, and `rest` seconds that all spend."""
    small = SMALL * math.ceil(math.log2(workers)) * costs.alpha
    return math.ceil(shards / workers) * shard + rest + small + exchange(costs, workers, size)


def bytes_sent(workers, size):
    """Bytes of gradients that each worker sends in an iteration."""
    return (workers - 1) * size if size < LARGE else (workers - 1) / workers * 2 * size


def paying_batch(costs, workers, sample, rest, size):
    """Samples of a batch from which on `PAID` of the workers' time is computation."""
    overhead = iteration(costs, workers, workers, 0, rest, size)
    return math.ceil(overhead * PAID / (1 - PAID) / sample) * workers


# ------------------------------------------------------------------------------------------------------ measurements


def measure(workers, *arguments, prefix=(), **environment):
    """What ``distributed_worker.py`` prints on so many workers."""
    command = [sys.executable, str(WORKER), *map(str, arguments)]
    start = [str(mpiexec()), "-n", str(workers), *command] if not prefix else [str(mpiexec()), *joined(prefix, command)]
    done = subprocess.run(start, env=os.environ | environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise SystemExit(f"{' '.join(start)} failed:\n{done.stdout}{done.stderr}")
    return json.loads(lines[-1])


def joined(prefixes, command):
    """mpiexec's arguments for one worker behind each prefix."""
    parts = [["-n", "1", *prefix, *command] for prefix in prefixes]
    return [word for index, part in enumerate(parts) for word in ([":"] if index else []) + part]


def in_turn(rounds, **calls):
    """Name → the result with the fastest step, of calls that take turns."""
    found = {}
    for _ in range(rounds):
        for name, call in calls.items():
            result = call()
            found[name] = min(found.get(name, result), result, key=lambda r: r["step"])
    return found


def scaling(options):
    """Lines of the table: two workers with one thread each beside one with two."""
    lines = ["| network, batch | one worker, 2 threads | two workers, 1 thread each | ratio |", "|---|---|---|---|"]
    for name, batch in (("net_1", 128), ("D0", 128), ("LeNet-5", 128)):
        found = in_turn(
            options.rounds,
            one=lambda name=name, batch=batch: measure(1, "train", name, batch, options.steps, 2),
            two=lambda name=name, batch=batch: measure(2, "train", name, batch, options.steps, 1),
        )
        one, two = found["one"]["step"], found["two"]["step"]
        lines.append(f"| {name}, {batch} | {one * 1e3:.2f} ms | {two * 1e3:.2f} ms | {one / two:.2f} |")
    return lines


def counted(options):
    """Lines of the table: bytes that a worker sends in an iteration, counted and by the formula."""
    lines = ["| network, workers | gradients, by the formula | sent in all |", "|---|---|---|"]
    for name in ("LeNet-5", "net_1"):
        for workers in (2, 4):
            found = measure(workers, "train", name, BATCHES[name], options.steps, 1)
            formula = bytes_sent(workers, found["bytes"])
            lines.append(f"| {name}, {workers} | {formula:,.0f} | {found['sent']:,.0f} |")
    return lines


def trees(found, step):
    """Lines that compare the tree with MPI's Allreduce, for two workers."""
    lines = ["| network | tree | Allreduce |", "|---|---|---|"]
    for name, times in found["sums"].items():
        lines.append(f"| {name} | {times['tree'] * 1e3:.2f} ms | {times['allreduce'] * 1e3:.2f} ms |")
    more = found["sums"]["net_1"]["tree"] - found["sums"]["net_1"]["allreduce"]
    return [*lines, "", f"For net_1 the difference is {100 * more / step:.1f} % of an iteration of two workers."]


def predictions(options, here):
    """Lines of the table: what follows for other clusters from one worker's times here."""
    lines = [f"| network, batch of a worker | workers | {' | '.join(CLUSTERS)} | pays from a batch of |"]
    lines.append("|---|---|" + "---|" * (len(CLUSTERS) + 1))
    for name, batch in BATCHES.items():
        alone = measure(1, "train", name, batch, options.steps)
        compute, rest = alone["shards"], max(0.0, alone["step"] - alone["shards"])
        for workers in COUNTS:
            cells, paying = [], []
            for beta in CLUSTERS.values():
                costs = Costs(LATENCY, beta, here.gamma)
                time = iteration(costs, workers, workers, compute, rest, alone["bytes"])
                cells.append(f"{workers * (compute + rest) / time:.1f}×")
                paying.append(paying_batch(costs, workers, compute / batch, rest, alone["bytes"]))
            lines.append(f"| {name}, {batch} | {workers} | {' | '.join(cells)} | {paying[0]:,} … {paying[-1]:,} |")
    return lines


# -------------------------------------------------------------------------------------------------------- namespaces


def in_namespaces(options):
    """Lines of the table: iterations over a link of limited rate, predicted and measured; needs root and Linux."""
    lines = ["| network, workers | rate | predicted | measured | ratio |", "|---|---|---|---|---|"]
    tcp = {"UCX_TLS": "tcp,self", "MPIR_CVAR_NOLOCAL": "1"}  # MPICH's, over the link and not through memory
    for workers in (2, 4):
        prefixes = [["ip", "netns", "exec", f"w{i}"] for i in range(workers)]
        fast = measure(workers, "train", "LeNet-5", 128, options.steps, 1, prefix=prefixes, **tcp)
        for rate in options.rates:
            limit(workers, rate)
            slow = measure(workers, "train", "LeNet-5", 128, options.steps, 1, prefix=prefixes, **tcp)
            limit(workers, None)
            beta = 8 / (rate * 1e6)
            predicted = fast["step"] + exchange(Costs(0, beta, 0), workers, slow["bytes"]) + fed(slow, workers) * beta
            cells = f"{predicted * 1e3:.1f} ms | {slow['step'] * 1e3:.1f} ms | {slow['step'] / predicted:.2f}"
            lines.append(f"| LeNet-5, {workers} | {rate} Mbit/s | {cells} |")
    return lines


def fed(found, workers):
    """Bytes that a worker sends beside gradients."""
    return max(0.0, found["sent"] - bytes_sent(workers, found["bytes"]))


def limit(workers, rate):
    """Limit the rate of every worker's link, in Mbit/s; None: not at all."""
    for number in range(workers):
        for link, space in ((f"e{number}", ["ip", "netns", "exec", f"w{number}"]), (f"v{number}", [])):
            subprocess.run([*space, "tc", "qdisc", "del", "dev", link, "root"], capture_output=True, check=False)
            if rate is not None:
                words = f"tc qdisc add dev {link} root tbf rate {rate}mbit burst 16kb latency 500ms".split()
                subprocess.run([*space, *words], check=True)


SETUP = """set -e
mount -t tmpfs tmpfs /run/netns
ip link set lo up; ip link add br0 type bridge; ip link set br0 up
for i in 0 1 2 3; do
    ip netns add w$i; ip link add v$i type veth peer name e$i; ip link set e$i netns w$i
    ip link set v$i master br0 up
    ip netns exec w$i ip addr add 10.9.0.$((i + 1))/24 dev e$i
    ip netns exec w$i ip link set e$i up; ip netns exec w$i ip link set lo up
done
exec "$@"
"""


def enter_namespaces():
    """Start this program again where it has a network of its own; what it changes there ends with it."""
    Path("/run/netns").mkdir(parents=True, exist_ok=True)
    command = ["unshare", "-n", "-m", "sh", "-c", SETUP, "sh", sys.executable, *sys.argv, "--inside"]
    return subprocess.run(command, check=False).returncode


# ------------------------------------------------------------------------------------------------------------ output


def report(options):
    """The page's part: all tables."""
    found = measure(2, "wire")
    here = Costs(found["alpha"], found["beta"], found["gamma"])
    two = measure(2, "train", "net_1", 128, options.steps, 1)
    lines = [
        f"On {platform.processor() or platform.machine()} with {os.cpu_count()} threads, two workers on one machine: "
        f"α = {here.alpha * 1e6:.0f} µs, β = {here.beta * 1e9:.3f} ns, γ = {here.gamma * 1e9:.3f} ns."
    ]
    for table in (scaling(options), trees(found, two["step"]), counted(options)):
        lines += ["", *table]
    assumed = f"Assumed: {LATENCY * 1e6:.0f} µs a message, one shard a worker. Against one worker:"
    return "\n".join([*lines, "", assumed, "", *predictions(options, here)])


def main():
    """Measure, print, and put the tables into a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30, help="iterations of each training (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often trainings take turns (%(default)s)")
    parser.add_argument("--docs", type=Path, help="put the tables between the marks of a Markdown file")
    parser.add_argument("--namespaces", action="store_true", help="workers in networks of limited rate; needs root")
    parser.add_argument("--rates", type=int, nargs="+", default=[50, 200], help="of these, in Mbit/s (%(default)s)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.namespaces and not options.inside:
        return enter_namespaces()
    text = "\n".join(in_namespaces(options)) if options.namespaces else report(options)
    print(text)
    if options.docs and not options.namespaces:
        page = options.docs.read_text(encoding="utf-8")
        before, rest = page.split(MARKS[0])
        options.docs.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
