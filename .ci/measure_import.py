"""How long `import minicnn` takes: median of five fresh interpreters. Too long is a warning, since machines differ."""

import statistics
import subprocess
import sys

LIMIT = 0.3  # seconds
CODE = "import time; start = time.perf_counter(); import minicnn; print(time.perf_counter() - start)"

times = [float(subprocess.check_output([sys.executable, "-c", CODE])) for _ in range(5)]
median = statistics.median(times)
print(f"import minicnn: {median:.3f} s" + (f"  WARNING: more than {LIMIT} s" if median > LIMIT else ""))
