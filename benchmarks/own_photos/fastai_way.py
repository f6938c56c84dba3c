"""The same with fastai: python fastai_way.py FOLDER PHOTO; the network is its ResNet-18, with new weights."""

import base64
import io
import sys
from pathlib import Path

import fastai.vision.all  # noqa: F401, gives learners their methods
import matplotlib.pyplot as plt
import torch
from fastai.callback.hook import hook_output
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
from fastai.data.transforms import parent_label
from fastai.interpret import ClassificationInterpretation
from fastai.learner import load_learner
from fastai.metrics import accuracy
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import vision_learner
from fastai.vision.utils import get_image_files, verify_images
from torchvision.models import resnet18


def as_element(figure):
    """A figure inside a page."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    return f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def grad_cam(learn, image, target):
    """Where the last convolution finds what speaks for a class."""
    convolutions = learn.model[0].eval()
    with hook_output(convolutions) as forward, hook_output(convolutions, grad=True) as backward:
        learn.model.eval()(image)[0, target].backward()
    weights = backward.stored[0][0].mean(dim=(1, 2), keepdim=True)
    heat = (forward.stored[0] * weights).sum(0).clamp(min=0)
    return (heat / (heat.max() or 1)).numpy()


if __name__ == "__main__":
    folder, photo = Path(sys.argv[1]), sys.argv[2]
    damaged = verify_images(get_image_files(folder))
    for path in damaged:
        print(f"left out {path}")
    data = ImageDataLoaders.from_path_func(
        folder,
        [path for path in get_image_files(folder) if path not in set(damaged)],
        parent_label,
        valid_pct=0.2,
        seed=0,
        item_tfms=Resize(64),
        batch_tfms=aug_transforms(),
        bs=32,
        num_workers=0,
    )
    learn = vision_learner(data, resnet18, pretrained=False, metrics=accuracy)
    learn.unfreeze()
    best = SaveModelCallback(monitor="valid_loss")
    try:
        learn.fit_one_cycle(40, 1e-3, cbs=[EarlyStoppingCallback(monitor="valid_loss", patience=8), best])
    except KeyboardInterrupt:
        learn.load("model")
    learn.export("model.pkl")

    figures = []
    learn.recorder.plot_loss()
    figures.append(plt.gcf())
    interpretation = ClassificationInterpretation.from_learner(learn)
    interpretation.plot_confusion_matrix()
    figures.append(plt.gcf())
    interpretation.plot_top_losses(20)
    figures.append(plt.gcf())
    batch, _ = data.valid.one_batch()
    why, axes = plt.subplots(2, 3, figsize=(9, 6))
    for ax, image in zip(axes.flat, batch, strict=False):
        scores = learn.model.eval()(image[None])
        heat = grad_cam(learn, image[None], int(scores.argmax()))
        pixels = image.as_subclass(torch.Tensor).permute(1, 2, 0)
        ax.imshow(((pixels - pixels.min()) / (pixels.max() - pixels.min())).numpy())
        ax.imshow(heat, cmap="inferno", alpha=0.5, extent=(0, 64, 64, 0))
        ax.axis("off")
    figures.append(why)
    interpretation.print_classification_report()
    left_out = "".join(f"<li>{path}</li>" for path in damaged)
    Path("report.html").write_text(f"<!DOCTYPE html>{''.join(map(as_element, figures))}<ul>{left_out}</ul>")
    print(photo, load_learner("model.pkl").predict(photo))
