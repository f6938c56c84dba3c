"""Write the ONNX files of this folder with PyTorch, and beside each what PyTorch computes with it.

Run ``python make_pytorch_onnx.py`` in this folder to make the files anew; torch, onnx and onnxscript are needed.
``pytorch_NAME.npz`` holds x (N, C, H, W) and y, as PyTorch has them, of ``pytorch_NAME.onnx``.
"""

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F


class LeNet(nn.Module):
    """LeNet-5 with few channels, as tutorials write it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 3, 5, padding=2), nn.Conv2d(3, 5, 5)
        self.fc1, self.fc2 = nn.Linear(5 * 4 * 4, 12), nn.Linear(12, 10)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)  # (N, 3, 12, 12)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 2)  # (N, 5, 4, 4)
        x = torch.sigmoid(self.fc1(x.view(x.size(0), -1)))
        return torch.softmax(self.fc2(x), dim=1)


class Residual(nn.Module):
    """What LeNet lacks: batch normalization, a shortcut, a concatenation, padding that Keras has no name for."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.narrow = nn.Conv2d(4, 2, 1)
        self.pool = nn.AvgPool2d(3, 2, padding=1)
        self.head = nn.Sequential(
            nn.Flatten(), nn.BatchNorm1d(6 * 3 * 2), nn.Dropout(), nn.Linear(6 * 3 * 2, 7, bias=False)
        )

    def forward(self, x):
        x = self.stem(x)  # (N, 4, 5, 4)
        y = F.leaky_relu(self.grouped(x), 0.1) + x
        y = torch.cat([F.relu6(y), self.narrow(y)], dim=1)  # (N, 6, 5, 4)
        y = self.pool(y)  # (N, 6, 3, 2)
        return self.head(y), y.mean((2, 3))


def randomize(module):
    """Moving averages and factors that are not zeros and ones."""
    for name, value in module.state_dict().items():
        if value.is_floating_point() and value.ndim == 1:
            value.copy_(torch.rand_like(value) + (0.5 if "var" in name else 0))


def write(name, module, shape, dynamo):
    """``pytorch_NAME.onnx`` and ``pytorch_NAME.npz``."""
    module.eval()
    x = torch.rand(3, *shape)
    options = {"dynamic_shapes": ({0: torch.export.Dim("N")},)} if dynamo else {"dynamic_axes": {"x": {0: "N"}}}
    path = f"pytorch_{name}.onnx"
    torch.onnx.export(module, (x,), path, input_names=["x"], dynamo=dynamo, external_data=False, **options)
    save_without_notes(path)
    with torch.no_grad():
        outputs = module(x)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    np.savez_compressed(f"pytorch_{name}.npz", x=x.numpy(), **{f"y{i}": y.numpy() for i, y in enumerate(outputs)})


def save_without_notes(path):
    """Take out what the exporter wrote down for people, such as the source files' paths."""
    model = onnx.load(path)
    model.graph.ClearField("value_info")
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.input,
        *model.graph.output,
        *model.graph.initializer,
    ):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    onnx.save(model, path)


if __name__ == "__main__":
    torch.manual_seed(0)
    lenet, residual = LeNet(), Residual()
    randomize(residual)
    for dynamo in (False, True):
        exporter = "dynamo" if dynamo else "legacy"
        write(f"lenet_{exporter}", lenet, (1, 24, 24), dynamo)
        write(f"residual_{exporter}", residual, (3, 19, 15), dynamo)
