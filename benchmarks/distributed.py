"""Several workers: what a message costs, how trainings scale, what follows for other clusters (docs/distributed.md).

    python benchmarks/distributed.py --docs docs/distributed.md

Needs the extra ``distributed``, and root on Linux for the links of limited rate, which are in network namespaces of
this program's own. With ``--state FILE``, a run that was broken off goes on where it was. Each figure is the fastest of
several; where trainings are compared, they take turns.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from minicnn.command_line.launching import mpiexec
from minicnn.distribution.overlap import PIECES
from minicnn.distribution.sums import LARGE
from minicnn.distribution.wire import DIRECT

WORKER, RELAY = (Path(__file__).with_name(f"distributed_{name}.py") for name in ("worker", "relay"))
SHARDS = 8
MARKS = "<!-- measured -->", "<!-- end -->"
CLUSTERS = {f"{rate} Gbit/s": 8 / (rate * 1e9) for rate in (10, 25, 100)}  # seconds a byte
LATENCY = 20e-6  # seconds, of a message between machines: assumed
AT_ONCE = 32  # messages that MPICH's Ialltoallv has under way, before it begins the next ones
COUNTS = (8, 64, 512)
BATCHES = {"LeNet-5": 128, "net_1": 128, "ResNet-18": 32}
PAID = 0.5  # part of the time that has to be computation


# ------------------------------------------------------------------------------------------------------- the model


@dataclass
class Costs:
    """What docs/distributed.md calls α, β, γ and o, in seconds: a message, a byte on the wire, a byte that is added,
    and what each further message costs that a worker sends at once.
    """

    alpha: float
    beta: float
    gamma: float
    overhead: float = 0.0

    def round(self, workers):
        """Seconds in which every worker gets a message from all others."""
        if workers == 1:
            return 0.0
        return math.ceil(workers / AT_ONCE) * self.alpha + (workers - 2) * self.overhead


def exchange(costs, workers, size):
    """G(N): seconds until the gradients, `size` bytes, of N workers are added up everywhere.

    Large ones are taken to travel in pieces, as where N divides the number of shards, on a processor.
    """
    once, others = costs.round(workers), workers - 1
    if size < LARGE:
        return once + others * size * (costs.beta + costs.gamma)
    handing_out = once if size / PIECES / workers <= DIRECT else others * costs.alpha  # MPI's ring
    return once + handing_out + others / workers * size * (2 * costs.beta + costs.gamma)


def iteration(costs, workers, shards, shard, rest, size):
    """T(N): seconds of an iteration of `shards` shards of `shard` seconds each, and `rest` seconds that all spend."""
    return math.ceil(shards / workers) * shard + rest + costs.round(workers) + exchange(costs, workers, size)


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


class Notes:
    """What is measured already, in a file: a run that was broken off goes on where it was.

    Parameters
    ----------
    path : Path or None
    """

    def __init__(self, path):
        self._path = path
        self._found = json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else {}

    def __call__(self, name, measuring):
        """What `measuring` gives, or gave before under this name."""
        if name not in self._found:
            self._found[name] = measuring()
            print(f"measured: {name}", file=sys.stderr, flush=True)
            if self._path:
                self._path.write_text(json.dumps(self._found, indent=1), encoding="utf-8")
        return self._found[name]


def scaling(options, notes):
    """Lines of the table: two workers with one thread each beside one with two."""
    lines = ["| network, batch | one worker, 2 threads | two workers, 1 thread each | ratio |", "|---|---|---|---|"]
    for name, batch in (("net_1", 128), ("D0", 128), ("LeNet-5", 128)):
        found = notes(
            f"scaling of {name}",
            lambda name=name, batch=batch: in_turn(
                options.rounds,
                one=lambda: measure(1, "train", name, batch, options.steps, 2),
                two=lambda: measure(2, "train", name, batch, options.steps, 1),
            ),
        )
        one, two = found["one"]["step"], found["two"]["step"]
        lines.append(f"| {name}, {batch} | {one * 1e3:.2f} ms | {two * 1e3:.2f} ms | {one / two:.2f} |")
    return lines


def counted(options, notes):
    """Lines of the table: bytes that a worker sends in an iteration, counted and by the formula."""
    lines = ["| network, workers | gradients, by the formula | sent in all |", "|---|---|---|"]
    for name in ("LeNet-5", "net_1"):
        for workers in (2, 4):
            arguments = workers, "train", name, BATCHES[name], options.steps, 1
            found = notes(f"bytes of {name}, {workers}", lambda arguments=arguments: measure(*arguments))
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


def predictions(options, notes, here):
    """Lines of the table: what follows for other clusters from one worker's times here."""
    lines = [f"| network, batch of a worker | workers | {' | '.join(CLUSTERS)} | pays from a batch of |"]
    lines.append("|---|---|" + "---|" * (len(CLUSTERS) + 1))
    for name, batch in BATCHES.items():
        steps = options.steps if name != "ResNet-18" else max(3, options.steps // 6)  # of long ones, a few
        arguments = 1, "train", name, batch, steps
        alone = notes(f"one worker, {name}", lambda arguments=arguments: measure(*arguments))
        compute, rest = alone["shards"], max(0.0, alone["step"] - alone["shards"])
        for workers in COUNTS:
            cells, paying = [], []
            for beta in CLUSTERS.values():
                costs = Costs(LATENCY, beta, here.gamma, here.overhead)
                time = iteration(costs, workers, workers, compute, rest, alone["bytes"])
                cells.append(f"{workers * (compute + rest) / time:.1f}×")
                paying.append(paying_batch(costs, workers, compute / batch, rest, alone["bytes"]))
            lines.append(f"| {name}, {batch} | {workers} | {' | '.join(cells)} | {paying[0]:,} … {paying[-1]:,} |")
    return lines


# -------------------------------------------------------------------------------------------------------- namespaces


def in_namespaces(options, notes):
    """Lines of the table: iterations over links of limited rate, or of some delay, predicted and measured."""
    lines = ["| network, workers | link | predicted | measured | ratio |", "|---|---|---|---|---|"]
    for workers in (2, 4):
        for name, over, number, costs in links(options):
            found = notes(f"LeNet-5, {workers}, {name}", partial(compared, options, over, number, workers))
            near, far = found["near"]["step"], found["far"]["step"]
            waiting = iteration(costs, workers, 0, 0, 0, found["far"]["bytes"])
            waiting += fed(found["far"], workers) * costs.beta
            cells = f"{(near + waiting) * 1e3:.1f} ms | {far * 1e3:.1f} ms | {far / (near + waiting):.2f}"
            lines.append(f"| LeNet-5, {workers} | {name} | {cells} |")
    return lines


def compared(options, over, number, workers):
    """Iterations over a link without its limit and with it, which take turns."""
    arguments = workers, "train", "LeNet-5", 128, options.steps, 1
    calls = {"near": partial(over, None, *arguments), "far": partial(over, number, *arguments)}
    return in_turn(options.rounds, **calls)


def links(options):
    """(name, function that measures over such a link, its number, what the link costs) of each."""
    for rate in options.rates:
        yield f"{rate} Mbit/s", limited, rate, Costs(0, 8 / (rate * 1e6), 0)
    for delay in options.delays:
        yield f"{delay} ms later", delayed, delay, Costs(delay / 1e3, 0, 0)


def over_link(workers, *arguments):
    """`measure` with each worker in a namespace of its own, and all messages over the link between them."""
    prefixes = [["ip", "netns", "exec", f"w{i}"] for i in range(workers)]
    return measure(workers, *arguments, prefix=prefixes, UCX_TLS="tcp,self", MPIR_CVAR_NOLOCAL="1")


def limited(rate, workers, *arguments):
    """The same over links of limited rate, in Mbit/s; None: not limited."""
    limit(workers, rate)
    return over_link(workers, *arguments)


def delayed(delay, workers, *arguments):
    """The same over the relay, which takes the place of the link; `delay` in ms; None: none."""
    command = [sys.executable, str(RELAY), str(workers), str((delay or 0) / 1e3)]
    relay = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        relay.stdout.readline()
        return over_link(workers, *arguments)
    finally:
        relay.kill()
        relay.communicate()
        for number in range(workers):
            inside = f"ip netns exec w{number} ip"
            subprocess.run(f"{inside} link set e{number} up".split(), check=True)
            subprocess.run(f"{inside} addr add 10.9.0.{number + 1}/24 dev e{number}".split(), check=True)


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


def enter_namespaces(options):
    """The same from this program, started again where it has a network of its own; what it changes there ends with it.

    Where that is not permitted, a line that says so.
    """
    own = [f"--{name}={value}" for name in ("steps", "rounds", "state") if (value := getattr(options, name))]
    own += ["--rates", *map(str, options.rates), "--delays", *map(str, options.delays)]
    command = ["unshare", "-n", "-m", "sh", "-c", SETUP, "sh", sys.executable, __file__, "--inside", *own]
    try:
        Path("/run/netns").mkdir(parents=True, exist_ok=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return [f"In namespaces nothing was measured: they need root and Linux. ({type(error).__name__})"]
    return done.stdout.splitlines()


# ------------------------------------------------------------------------------------------------------------ output


PARTS = ("scaling", "trees", "bytes", "namespaces", "predictions")


def report(options, notes):
    """Lines of the page's part: the tables that are asked for, as they come."""
    found = notes("messages", lambda: measure(2, "wire"))
    here = Costs(found["alpha"], found["beta"], found["gamma"], found["overhead"])
    yield (
        f"On {platform.processor() or platform.machine()} with {os.cpu_count()} threads, two workers on one machine: "
        f"α = {here.alpha * 1e6:.0f} µs, o = {here.overhead * 1e6:.2f} µs, β = {here.beta * 1e9:.3f} ns, "
        f"γ = {here.gamma * 1e9:.3f} ns."
    )
    for part in options.parts:
        yield ""
        if part == "scaling":
            yield from scaling(options, notes)
        elif part == "trees":
            two = notes("two workers", lambda: measure(2, "train", "net_1", 128, options.steps, 1))
            yield from trees(found, two["step"])
        elif part == "bytes":
            yield from counted(options, notes)
        elif part == "namespaces":
            yield from enter_namespaces(options)
        else:
            yield (
                f"Assumed: {LATENCY * 1e6:.0f} µs a message, one shard a worker; o and γ are those measured here. "
                "Against one worker:"
            )
            yield ""
            yield from predictions(options, notes, here)


def main():
    """Measure, print, and put the tables into a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30, help="iterations of each training (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often trainings take turns (%(default)s)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="which tables (all)")
    parser.add_argument("--docs", type=Path, help="put the tables between the marks of a Markdown file")
    parser.add_argument("--state", type=Path, help="file for what is measured; what it has is not measured again")
    parser.add_argument("--rates", type=int, nargs="+", default=[50, 200], help="of links, in Mbit/s (%(default)s)")
    parser.add_argument("--delays", type=int, nargs="+", default=[2, 10], help="of packets, in ms (%(default)s)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    notes, lines = Notes(options.state), []
    for line in in_namespaces(options, notes) if options.inside else report(options, notes):
        print(line, flush=True)
        lines.append(line)
    if options.docs:
        page, text = options.docs.read_text(encoding="utf-8"), "\n".join(lines)
        before, rest = page.split(MARKS[0])
        options.docs.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
