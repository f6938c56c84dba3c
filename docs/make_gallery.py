"""Run the examples, and write the site's gallery from the figures they leave: ``python docs/make_gallery.py``.

It trains for some minutes, on MNIST, Fashion-MNIST and CIFAR-10, so it is not part of building the site: what it writes
is committed. That is ``gallery/*.png``, with few colours, ``gallery.md`` and ``es/gallery.md``, and the LeNet-5 of the
learner's path, ``lenet5.safetensors``. Given names of examples, it runs these alone, and writes both pages.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "examples"
WIDTH = 900  # pixels, at most
COLOURS = 64

TITLES = {
    "en": (
        "Gallery",
        "Figures that the examples write. Each stands under the command that made it; "
        "`python docs/make_gallery.py` runs them all and writes this page.",
    ),
    "es": (
        "Galería",
        "Figuras que escriben los ejemplos. Cada una está debajo de la orden que la hizo; "
        "`python docs/make_gallery.py` las ejecuta todas y escribe esta página.",
    ),
}

# (heading in English, in Spanish, command, {figure: (what it shows, in Spanish)})
ENTRIES = [
    (
        "Kernels, windows, pooling",
        "Núcleos, ventanas, pooling",
        "convolution_basics.py",
        {
            "kernels": ("A picture, and what six kernels make of it", "Una imagen y lo que hacen de ella seis núcleos"),
            "letter": (
                "A letter of 6 × 6 pixels, a kernel, and their convolution",
                "Una letra de 6 × 6 píxeles, un núcleo y su convolución",
            ),
            "pooling": (
                "Pooling: the largest number of each window, and the mean",
                "Pooling: el mayor número de cada ventana, y la media",
            ),
        },
    ),
    (
        "A first network on MNIST",
        "Una primera red con MNIST",
        "mnist_cnn.py --epochs 3 --limit 10000",
        {
            "curves": ("Loss and accuracy of each epoch", "Pérdida y exactitud en cada época"),
            "feature_maps": ("What each layer makes of a seven", "Lo que hace cada capa de un siete"),
            "confusion": ("Which digits are taken for which", "Qué dígitos se toman por cuáles"),
        },
    ),
    (
        "Digit recognition from raw pixels",
        "Reconocer dígitos a partir de píxeles sin escalar",
        "digit_recognition.py --epochs 3 --limit 10000",
        {
            "model": ("The network as a diagram", "La red como diagrama"),
            "prediction": ("One prediction", "Una predicción"),
        },
    ),
    (
        "Clothes: Fashion-MNIST",
        "Ropa: Fashion-MNIST",
        "fashion_mnist_cnn.py --epochs 4 --limit 10000",
        {
            "clothes": ("Pictures with their classes", "Imágenes con sus clases"),
            "confusion": ("Shirts are hard", "Las camisas son difíciles"),
        },
    ),
    (
        "Pooling, or a stride of two",
        "Pooling, o un paso de dos",
        "pooling_vs_stride.py --epochs 4 --limit 4000",
        {"curves": ("Two networks of the same size", "Dos redes del mismo tamaño")},
    ),
    (
        "LeNet-5 on MNIST",
        "LeNet-5 con MNIST",
        "lenet5_mnist.py",
        {
            "filters": ("The six kernels of the first layer", "Los seis núcleos de la primera capa"),
            "feature_maps": ("What each layer makes of a seven", "Lo que hace cada capa de un siete"),
            "predictions": ("Ten predictions", "Diez predicciones"),
        },
    ),
    (
        "LeNet-5 on CIFAR-10",
        "LeNet-5 con CIFAR-10",
        "lenet5_cifar10.py --epochs 5",
        {
            "predictions": ("Ten predictions", "Diez predicciones"),
            "confusion": ("Cats and dogs are alike", "Los gatos y los perros se parecen"),
        },
    ),
    (
        "Moved digits",
        "Dígitos desplazados",
        "translation_test.py --epochs 3",
        {"moved": ("The same digits, moved by 4 pixels", "Los mismos dígitos, movidos 4 píxeles")},
    ),
    (
        "Augmentation",
        "Aumento de datos",
        "lenet5_augmented.py --epochs 3 --limit 20000",
        {
            "augmented": ("One digit, as nine epochs see it", "Un dígito, como lo ven nueve épocas"),
            "moved": (
                "Moved digits, and what the network takes them for",
                "Dígitos desplazados, y por cuáles los toma la red",
            ),
        },
    ),
    ("A network as a web page", "Una red como página web", "draw_a_digit.py", {}),
]
PAGE = {
    "en": "What this writes is described on [a page of its own](page.md).",
    "es": "Lo que escribe esta orden se describe en [una página propia](../page.md) (en inglés).",
}


def run(command, folder):
    """Run an example, its files go into `folder`."""
    script, *options = shlex.split(command)
    environment = os.environ | {"PYTHONPATH": str(DOCS.parent)}
    subprocess.run([sys.executable, EXAMPLES / script, *options, "--out", folder], check=True, env=environment)


def reduce(source, target):
    """Write a picture that is no wider than `WIDTH` and has few colours, which is a third of the bytes."""
    picture = Image.open(source).convert("RGB")
    picture.thumbnail((WIDTH, 4 * WIDTH), Image.Resampling.LANCZOS)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


def page(language):
    """The gallery's text in a language."""
    index, above = (0, "") if language == "en" else (1, "../")
    title, introduction = TITLES[language]
    parts = [f"# {title}", introduction]
    for *headings, command, figures in ENTRIES:
        parts += [f"## {headings[index]}", f"```sh\n.venv/bin/python examples/{command}\n```"]
        for figure, captions in figures.items():
            parts.append(f"![{captions[index]}]({above}gallery/{Path(command.split()[0]).stem}_{figure}.png)")
            parts.append(f"*{captions[index]}*")
    return "\n\n".join([*parts, PAGE[language]]) + "\n"


def main(wanted):
    """Run the examples named in `wanted`, all without one, and write pictures and pages."""
    (DOCS / "gallery").mkdir(exist_ok=True)
    (DOCS / "es").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for *_, command, figures in ENTRIES:
            stem = Path(command.split()[0]).stem
            if wanted and stem not in wanted:
                continue
            out = Path(folder, stem)
            run(command, out)
            for figure in figures:
                reduce(out / f"{figure}.png", DOCS / "gallery" / f"{stem}_{figure}.png")
            if stem == "draw_a_digit":
                shutil.copy(out / "lenet5.safetensors", DOCS)
    (DOCS / "gallery.md").write_text(page("en"), encoding="utf-8")
    (DOCS / "es" / "gallery.md").write_text(page("es"), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
