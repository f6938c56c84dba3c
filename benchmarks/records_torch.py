"""A record with PyTorch: what ``records_seed.py`` runs."""

import math
import time

import numpy as np
import torch
from recipes import END, LAST_STEP_SIZE, RISE, START, TEST_BATCH, moments, steps_of, views_of
from torch import nn
from torch.nn import functional


def run(recipe, seed, training, test):
    """(accuracy, seconds of training)."""
    (x, y), (x_test, y_test) = training, test
    torch.manual_seed(seed)
    images, targets = prepared(recipe, x, x), torch.from_numpy(y.astype(np.int64)).to(torch.get_default_device())
    model = network(recipe, x, images).to(memory_format=torch.channels_last)
    begin = time.perf_counter()
    train(recipe, model, images, targets)
    float(next(model.parameters()).detach().sum())  # waits for a GPU
    seconds = time.perf_counter() - begin
    views = [prepared(recipe, view, x) for view in views_of(recipe, x_test)]
    return evaluate(model, views, y_test), seconds


def prepared(recipe, images, training):
    """Floats (N, C, H, W), in memory (N, H, W, C), which is the faster layout."""
    mean, deviation = moments(training) if recipe.standardizes else (0.0, 1.0)
    floats = (images.astype(np.float32) / 255 - mean) / deviation
    return torch.from_numpy(floats.astype(np.float32)).to(torch.get_default_device()).permute(0, 3, 1, 2)


class Scale(nn.Module):
    """x · number."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x):
        return x * self.number


SIMPLE = {
    "pool": lambda: nn.MaxPool2d(2),
    "pool3": lambda: nn.MaxPool2d(3),
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "flatten": nn.Flatten,
}


def network(recipe, x, images):
    """The model, from images to logits."""
    channels, parts = x.shape[-1], []
    for entry in recipe.network:
        kind, *numbers = entry if isinstance(entry, tuple) else (entry,)
        if kind == "conv":
            filters, size, padding, bias = numbers
            if padding == "same" and size % 2 == 0:  # PyTorch's own "same" takes half as long again for even sizes
                parts.append(nn.ZeroPad2d((size // 2 - 1, size // 2) * 2))
                padding = "valid"
            parts.append(nn.Conv2d(channels, filters, size, padding=padding, bias=bias))
            channels = filters
        elif kind == "dense":
            parts.append(nn.LazyLinear(numbers[0], bias=numbers[1]))
        elif kind == "scale":
            parts.append(Scale(*numbers))
        elif kind == "norm":
            parts.append(nn.BatchNorm2d(channels, momentum=1 - recipe.norm_momentum))
        else:
            parts.append(SIMPLE[kind]())
    model = nn.Sequential(*parts)
    model(images[:2])  # the dense layer learns its size
    convolutions = [part for part in model if isinstance(part, nn.Conv2d)]
    with torch.no_grad():
        for part in (part for part in model if isinstance(part, (nn.Conv2d, nn.Linear))):
            if recipe.optimizer == "adam":
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias) if part.bias is not None else None
        for part in convolutions if recipe.dirac else ():
            nn.init.dirac_(part.weight[: part.weight.shape[1]])
        if recipe.whitens:
            whiten(convolutions[0].weight, images[:5000])
    for part in model if recipe.optimizer == "sgd" else ():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.requires_grad_(False)
    return model


def whiten(weight, images, epsilon=5e-4):
    """Eigenvectors of the patches' moments, and their negatives, as the kernel, which stays."""
    _, channels, height, width = weight.shape
    patches = images.unfold(2, height, 1).unfold(3, width, 1).permute(0, 2, 3, 1, 4, 5)
    patches = patches.reshape(-1, channels * height * width).double()
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / torch.sqrt(values + epsilon)).T.reshape(-1, channels, height, width)
    weight.copy_(torch.cat([filters, -filters]))
    weight.requires_grad_(False)


# ----------------------------------------------------------------------------------------------------------- training


def train(recipe, model, images, targets):
    """All epochs."""
    optimizer, total = rule(recipe, model), steps_of(recipe, len(images))
    factors = [group["lr"] for group in optimizer.param_groups]
    slow = [p.detach().clone() for p in model.parameters()]
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    model.train()
    step, mirrored = 0, torch.rand(len(images)) < 0.5  # in the first epoch, if they alternate
    for _ in range(recipe.epochs):
        for part in torch.randperm(len(images)).split(recipe.batch_size):
            for group, factor in zip(optimizer.param_groups, factors, strict=True):
                group["lr"] = factor * one_cycle(recipe.rate, step, total)
            batch = images[part]
            if recipe.flip:
                is_mirrored = mirrored[part] if recipe.alternates else torch.rand(len(part)) < 0.5
                batch = torch.where(is_mirrored[:, None, None, None], batch.flip(3), batch)
            batch = moved(recipe, batch).contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad(set_to_none=True)
            loss_of(model(batch), targets[part]).backward()
            optimizer.step()
            step += 1
            if recipe.lookahead and step % recipe.lookahead == 0:
                look_ahead(model, slow, LAST_STEP_SIZE + (1 - LAST_STEP_SIZE) * (1 - step / total) ** 0.5)
        mirrored = ~mirrored


def rule(recipe, model):
    """The optimizer; its groups' rates are factors of the cycle's."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=1.0, betas=(0.7, 0.9), eps=1e-7, fused=True)
    # A decoupled decay d moves weights as much as d · (1 − momentum) in the gradient, whose steps add up.
    decay = recipe.decay * (1 - recipe.momentum)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "lr": 1.0, "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim == 1], "lr": recipe.bias_rate, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=1.0, momentum=recipe.momentum, nesterov=True, fused=True)


def one_cycle(highest, step, total):
    """The learning rate: half a cosine wave up, half a one down."""
    first, turn = highest / START, RISE * total - 1
    if step <= turn:
        return highest + (first - highest) * (1 + math.cos(math.pi * step / turn)) / 2
    last = first / END
    return last + (highest - last) * (1 + math.cos(math.pi * (step - turn) / (total - 1 - turn))) / 2


@torch.no_grad()
def look_ahead(model, slow, size):
    """Slow weights follow, and become the weights."""
    for kept, weight in zip(slow, model.parameters(), strict=True):
        kept.lerp_(weight, size)
        weight.copy_(kept)


def moved(recipe, batch):
    """A batch moved, turned, zoomed and partly hidden at random."""
    count, _, height, width = batch.shape
    if recipe.turn:
        batch = warped(recipe, batch)
    elif recipe.shift:
        batch = cropped(batch, int(recipe.shift))
    if recipe.cutout:
        top, left = (torch.randint(0, side - recipe.cutout + 1, (count, 1)) for side in (height, width))
        rows, columns = torch.arange(height), torch.arange(width)
        inside = ((rows >= top) & (rows < top + recipe.cutout))[:, None, :, None]
        inside = inside & ((columns >= left) & (columns < left + recipe.cutout))[:, None, None, :]
        batch = batch.masked_fill(inside, 0)
    return batch


def warped(recipe, batch):
    """One interpolation for the shift, the turn and the zoom."""
    count, height = len(batch), batch.shape[2]
    angle = (torch.rand(count) * 2 - 1) * 2 * math.pi * recipe.turn
    scale = 1 + (torch.rand(count) * 2 - 1) * recipe.zoom
    shift = (torch.rand(count, 2) * 2 - 1) * 2 * recipe.shift / height
    cos, sin = scale * angle.cos(), scale * angle.sin()
    matrix = torch.stack([cos, -sin, shift[:, 0], sin, cos, shift[:, 1]], dim=1).reshape(count, 2, 3)
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    return functional.grid_sample(batch, grid, align_corners=False)


def cropped(batch, shift):
    """Moved by whole pixels; the edges are reflected."""
    count, _, height, width = batch.shape
    padded = functional.pad(batch, (shift,) * 4, "reflect")
    top, left = (torch.randint(0, 2 * shift + 1, (count, 1)) for _ in range(2))
    rows = (top + torch.arange(height))[:, :, None]
    columns = (left + torch.arange(width))[:, None, :]
    return padded.permute(0, 2, 3, 1)[torch.arange(count)[:, None, None], rows, columns].permute(0, 3, 1, 2)


@torch.inference_mode()
def evaluate(model, views, labels):
    """The accuracy, from some views of all test images."""
    model.eval()
    logits = sum(torch.cat([model(part) for part in view.split(TEST_BATCH)]) for view in views)
    return float((logits.argmax(1).cpu().numpy() == labels).mean())
