"""The tables of what gpu_networks.py measures, for gpu.py."""

from pathlib import Path

import gpu_accuracy
from harness import table

MUSTS = {  # setting → network → microseconds at most or None, and how many times faster than PyTorch's CUDA graph
    "float32": {
        "LeNet-5, batch 128": (65, 3.0),
        "D0, batch 32": (85, 3.0),
        "D1, batch 32": (100, 3.0),
        "net_1, batch 128": (290, 3.0),
        "ResNet-20, batch 128": (None, 1.5),
        "VGG-like, batch 128": (None, 1.5),
        "Depthwise separable, batch 128": (None, 1.2),
    },
    "bfloat16": {
        "ResNet-20, batch 128": (None, 1.2),
        "VGG-like, batch 128": (None, 1.2),
        "Depthwise separable, batch 128": (None, 1.2),
    },
}
TITLES = {"float32": "float32", "tf32": 'TF32 ("medium")', "bfloat16": "mixed_bfloat16"}
PEERS = {
    "eager": "PyTorch eager",
    "graph": "PyTorch, CUDA graph",
    "reduce-overhead": "torch.compile, reduce-overhead",
    "max-autotune": "torch.compile, max-autotune",
    "jax": "JAX",
}
TOP_KERNELS = 6  # of a network, in the table; all of them are in the log


def micro(seconds):
    """Microseconds, with three digits at least."""
    return f"{seconds * 1e6:.1f}" if seconds < 1e-3 else f"{seconds * 1e6:.0f}"


def steps_table(result, setting, part):
    """Times and ratios of a part; in float32 also launches a step, torch.compile and JAX, if they were measured."""
    rows, launches = result[part], {}
    if setting == "float32":
        launches = {name: found["launches"] for name, found in (result.get("profile") or {}).items()}
        for extra in ("compile", "jax"):
            found = {row["name"]: row for row in result.get(extra) or () if row.get("device") != "cpu"}
            rows = [found.get(row["name"], {}) | row for row in rows]
    peers = [key for key in PEERS if any(key in row for row in rows)]
    header = [f"training step in {TITLES[setting]}, µs (slower by)", "minicnn", "launches", *(PEERS[k] for k in peers)]
    return table([*header, "must be", "is"], [_line(row, setting, launches, peers) for row in rows])


def _line(row, setting, launches, peers):
    ours = row.get("ours")
    cells = [row["name"], "–" if ours is None else micro(ours) + (" (no graph)" if row.get("not captured") else "")]
    cells.append(f"{launches[row['name']]:.0f}" if row["name"] in launches else "–")
    for key in peers:
        cells.append("–" if key not in row else micro(row[key]) + (f" ({row[key] / ours:.1f}×)" if ours else ""))
    return [*cells, *must(MUSTS.get(setting, {}).get(row["name"]), ours, row.get("graph"))]


def must(wanted, ours, graph):
    """Two cells: what is demanded of a step, and whether it is so."""
    if wanted is None:
        return "–", "–"
    most, ratio = wanted
    said = ", ".join([*([] if most is None else [f"≤ {most} µs"]), f"≥ {ratio} × graph"])
    if ours is None or graph is None:
        return said, "not measured"
    missed = []
    if most is not None and ours > most * 1e-6:
        missed.append(f"{ours * 1e6:.0f} µs")
    if graph < ratio * ours:
        missed.append(f"{graph / ours:.2f} ×")
    return said, f"NO: {', '.join(missed)}" if missed else "yes"


def profile_table(profile):
    """Launches and busy time of a step, and its longest kernels."""
    lines = []
    for name, found in profile.items():
        longest = found["kernels"][:TOP_KERNELS]
        said = ", ".join(f"{kernel} {count:g} × {total / count:.1f}" for kernel, count, total in longest)
        lines.append([name, f"{found['launches']:.0f}", f"{found['microseconds']:.1f}", said])
    return table(["a step's kernels", "launches", "µs", "the longest: launches × µs"], lines)


def profile_log(profile):
    """Every kernel of every network, as text."""
    lines = []
    for name, found in profile.items():
        lines.append(f"== {name}: {found['microseconds']:.1f} µs of kernels, {found['launches']:.1f} launches a step")
        for kernel, count, total in [*found["kernels"], *found["copies"]]:
            lines.append(f"  {total:10.2f} µs a step, {count:6.2f} launches of {total / count:9.2f} µs: {kernel[:110]}")
    return "\n".join(lines) + "\n"


def first_table(rows):
    """Seconds until the first step has ended."""
    lines = []
    for row in rows:
        first, *others = row["steps"]
        said = [row["seconds"], row.get("import"), row["building"], first, *others]
        what = f"{row['name']}: {row['library']}, {row['state']}"
        lines.append([what, *("–" if number is None else f"{number:.2f}" for number in said)])
    header = "seconds|from the process's start|import, CUDA|building|first step|second, captured|third"
    return table(header.split("|"), lines)


def places_table(places):
    """Steps a second with the data on the device, and in chunks; and a sentence on uploads."""
    lines = []
    for name, found in places.items():
        for kind in ("float32", "uint8"):
            resident, chunks = (found["rates"][f"{kind}, {place}"] for place in ("resident", "chunks"))
            lines.append([f"{name}, {kind}", f"{resident:.0f}", f"{chunks:.0f}", f"{chunks / resident:.0%}"])
    text = table(["data", "resident, steps/s", "in chunks, steps/s", "of that"], lines)
    rates = [(found["bytes"], found["upload"]) for found in places.values()]
    said = "; ".join(
        f"{size / 1e6:.0f} MB at {way['pinned'] / 1e9:.1f} GB/s (by CUDA from where they lie: "
        f"{way['pageable'] / 1e9:.1f} GB/s)"
        for size, way in rates
    )
    return f"{text}\n\nUploading the data: {said}."


def records_table(records):
    """Time to the accuracies of recipes.py."""
    lines = []
    for name, found in records.items():
        for library, runs in found.items():
            lines.append(gpu_accuracy.record_row(name, library, runs))
    header = "record|seeds|mean accuracy|training, s: first seed|the fastest of the others|must be|is"
    return table(header.split("|"), lines) if lines else ""


def write_log(result, folder):
    """Write profile.log beside the other results."""
    if result.get("profile"):
        Path(folder, "profile.log").write_text(profile_log(result["profile"]))


def makers(result):
    """Part → a function from what it measured to Markdown."""
    return {
        "networks": lambda rows: steps_table(result, "float32", "networks"),
        "tf32": lambda rows: steps_table(result, "tf32", "tf32"),
        "bfloat16": lambda rows: steps_table(result, "bfloat16", "bfloat16"),
        "profile": profile_table,
        "first step": first_table,
        "chunks": places_table,
        "accuracy": gpu_accuracy.reach_text,
        "mnist": lambda found: records_table({"mnist99": found}),
        "cifar": lambda found: records_table({"cifar94": found}),
    }
