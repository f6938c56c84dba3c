"""Convolutions in cuDNN, by PyTorch, for gpu_convolutions.py and gpu_tensor_cores.py."""

import time
from functools import cache

import numpy as np


@cache
def torch_or_none():
    """PyTorch, set up for a fair comparison; None where it is not installed."""
    try:
        import torch
    except Exception:  # not installed, or a library of CUDA that it needs is not
        return None
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch


def device():
    """PyTorch's device: the GPU, or the processor in a smoke test without one."""
    return "cuda" if torch_or_none().cuda.is_available() else "cpu"


class TorchConvolution:
    """The convolution of `gpu.Convolution` in PyTorch, in both memory layouts."""

    def __init__(self, host, shape):
        torch = torch_or_none()
        x, kernel, dy = host
        *_, size, padding = shape
        self.padding = [(size - 1) // 2 if padding == "same" else 0] * 2
        arrays = [np.moveaxis(x, -1, 1), kernel.transpose(3, 2, 0, 1), np.moveaxis(dy, -1, 1)]
        plain = [torch.from_numpy(np.ascontiguousarray(a)).to(device()) for a in arrays]
        self.layouts = [plain, [a.to(memory_format=torch.channels_last) for a in plain]]

    def run(self, part, layout):
        """Compute one part; returns a tensor."""
        torch = torch_or_none()
        x, kernel, dy = self.layouts[layout]
        if part == "forward":
            return torch.nn.functional.conv2d(x, kernel, padding=self.padding)
        wanted = [part == "input gradient", part == "kernel gradient", False]
        stride, dilation, no_output_padding = [1, 1], [1, 1], [0, 0]
        gradients = torch.ops.aten.convolution_backward(
            dy, x, kernel, None, stride, self.padding, dilation, False, no_output_padding, 1, wanted
        )
        return gradients[0] if wanted[0] else gradients[1]

    def compare(self, part, ours, smoke):
        """{"cudnn": seconds of the faster layout, "difference": the largest, relative to the largest value}."""
        with torch_or_none().no_grad():
            theirs = self.run(part, 0).cpu().numpy()
        ours = ours.transpose(3, 2, 0, 1) if part == "kernel gradient" else np.moveaxis(ours, -1, 1)
        return {
            "cudnn": self.seconds(part, smoke),
            "difference": float(np.abs(ours - theirs).max() / np.abs(theirs).max()),
        }

    def seconds(self, part, smoke):
        """Seconds of the faster layout."""
        with torch_or_none().no_grad():
            return min(self._seconds(lambda i=i: self.run(part, i), smoke) for i in range(2))

    @staticmethod
    def _seconds(call, smoke):
        """Seconds on the device, by events around a graph of many calls, as for ours."""
        torch = torch_or_none()
        if device() != "cuda":
            start = time.perf_counter()
            call()
            return time.perf_counter() - start
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(stream)

        def run(launch):
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            launch()
            stop.record()
            stop.synchronize()
            return start.elapsed_time(stop) / 1000

        count = max(3, min(100, round(0.01 / max(run(call), 1e-7))))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(count):
                call()
        graph.replay()
        return float(np.median([run(graph.replay) for _ in range(5)])) / count
