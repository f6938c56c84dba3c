"""A page that shows a training while it runs."""

from __future__ import annotations

import threading
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.callbacks.bars import EpochLines
from minicnn.callbacks.drawing import curves, picture
from minicnn.checks import check_positive_int
from minicnn.console import say, speaks
from minicnn.errors import ShapeError
from minicnn.hints import FilePath, Logs
from minicnn.layers.conv import Conv2D
from minicnn.layers.open_sizes import fits
from minicnn.metrics import class_numbers, confusion_matrix
from minicnn.nested import leaves
from minicnn.plan.inside import look_inside, values
from minicnn.saving import files

PORTS_TRIED = 20
MOST_CLASSES, MOST_TILES, MOST_LAYERS = 30, 16, 12
SECONDS = 1  # between two looks of the page
STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.4 sans-serif;margin:1rem auto;max-width:70rem;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.15rem .45rem;text-align:right;border:1px solid #8886}
img{margin:1px}section{overflow-x:auto}
"""
LOOK = """
const look=async()=>{try{const r=await fetch('content',{cache:'no-store'});
document.querySelector('main').innerHTML=await r.text();setTimeout(look,SECONDS*1000)}
catch{document.querySelector('#state').textContent='The training has ended.'}};setTimeout(look,SECONDS*1000)
""".replace("SECONDS", str(SECONDS))


class LiveDashboard(EpochLines):
    """One web page with a training's curves, speed, confusion matrix, filters and feature maps, drawn anew each epoch.

    The page is served to this computer alone (127.0.0.1), or written to a file, which a browser reads again by itself.
    It loads nothing from a network. The server ends with the training.

    Parameters
    ----------
    path : str or Path, optional
        Write the page to this .html file instead of serving it.
    port : int, default 8000
        Where to serve it; if it is taken, one of the next 19 is.
    data : (x, y), optional
        Arrays whose confusion matrix is shown, such as a part of the validation data. An output (N, 1) means class 1
        above 0.5, or above 0 where the loss has ``from_logits=True``.
    image : array of the model's input shape, optional
        Whose feature maps are shown, of a model with one input. Default: the first of `data`.
    class_names : sequence of str, optional
        One for each class.

    Attributes
    ----------
    url : str or None
        Where the page is, while it is served.

    Raises
    ------
    ValueError, TypeError, ShapeError
        For arguments that do not fit; when training starts, if `image`, `data` or `class_names` do not fit the model.
    OSError
        When training starts, if no port is free, or the file cannot be written.
    """

    def __init__(
        self,
        path: FilePath | None = None,
        port: int = 8000,
        data: tuple[Any, Any] | None = None,
        image: Any = None,
        class_names: Any = None,
    ) -> None:
        super().__init__()
        self.path: Path | None = None if path is None else Path(path)
        if self.path is not None and self.path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"path names a page, e.g. 'training.html'. Received: path={str(path)!r}")
        if check_positive_int("port", port) > 65535 - PORTS_TRIED:
            raise ValueError(f"port is a number up to {65535 - PORTS_TRIED}. Received: port={port}")
        if data is not None and (not isinstance(data, tuple | list) or len(data) != 2):
            raise TypeError(f"data is a pair of arrays, (x, y). Received: {type(data).__name__}")
        if isinstance(class_names, str | dict) or (class_names is not None and not hasattr(class_names, "__len__")):
            raise TypeError(f"class_names is a list of names in order. Received: {class_names!r}")
        self.port: int = port
        self.data: tuple[Any, Any] | None = data
        self.image = image
        self.class_names: list[str] | None = None if class_names is None else [str(name) for name in class_names]
        self.url: str | None = None
        self._server, self._content = None, "<p>The first epoch has begun.</p>"

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._history, self._rates = {}, []
        image = self.image
        if image is None and self.data is not None and len(self.model.inputs) == 1:
            image = np.asarray(leaves(self.data[0])[0] if isinstance(self.data[0], dict) else self.data[0])[:1]
        self._array = None if image is None else self._checked_image(image)
        self._confusion()  # what of `data` does not fit is said now, and not after an epoch of hours
        self._content, self._is_shown = "<p>The first epoch has begun.</p>", False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if self._is_shown or not speaks():
            return
        self._is_shown = True  # from here on, on_train_end is certain to come
        if self.path is None:
            self._serve()
        else:
            self._write("training")

    def _checked_image(self, image):
        """The image with a batch axis, as the model's only input wants it."""
        array, shapes = np.asarray(image), [tensor.shape[1:] for tensor in self.model.inputs]
        for one in (array[None], array, array[None, ..., None], array[..., None]):
            if len(shapes) == 1 and one.ndim and len(one) == 1 and fits(one.shape[1:], shapes[0]):
                return one
        raise ShapeError(
            f"LiveDashboard shows one image of the model's input shape {shapes}: image=x_test[0]. "
            f"Received: shape {array.shape}"
        )

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        for name, value in (logs or {}).items():
            if isinstance(value, Real):
                self._history.setdefault(name, []).append((epoch + 1, float(value)))
        rate = self.images_per_second()
        if rate:
            self._history.setdefault("images per second", []).append((epoch + 1, rate))
        title = f"<p>Epoch {epoch + 1} of {self.params['epochs']}</p>"
        parts = [curves(self._history), self._confusion(), self._filters(), self._maps()]
        self._content = title + "".join(f"<section>{part}</section>" for part in parts if part)
        if self.path is not None:
            self._write("training")

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.path is not None:
            self._write("ended")
        self._stop()

    # ------------------------------------------------------------------------------------------------------ the page

    def page(self, state: str = "served") -> str:
        """The whole page as HTML; `state` is "served", "training" (read again by itself) or "ended"."""
        again = f'<meta http-equiv="refresh" content="{2 * SECONDS}">' if state == "training" else ""
        script = f"<script>{LOOK}</script>" if state == "served" else ""
        note = "The training has ended." if state == "ended" else "Training…"
        name = escape(self.model.name)
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8">{again}<title>{name}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
            f'<h1>{name}</h1><p id="state">{note}</p><main>{self._content}</main>{script}</body></html>'
        )

    def _confusion(self):
        """The confusion matrix of `data`, as a table."""
        if self.data is None or len(self.model.outputs) != 1:
            return ""
        output = leaves(self.model.predict(self.data[0]))[0]  # it may be a dict of one
        if output.ndim == 2 and output.shape[1] == 1:
            output = (output > (0 if self.model.compiled.losses[0].from_logits else 0.5)).astype(int)
        actual = class_numbers(self.data[1], "y of data")
        counts = confusion_matrix(actual, output)
        if self.class_names is not None and len(self.class_names) < len(counts):
            raise ValueError(
                f"class_names needs a name for each of {len(counts)} classes. Received: {len(self.class_names)} names"
            )
        if len(counts) > MOST_CLASSES:
            return f"<p>accuracy {counts.trace() / counts.sum():.4f} ({len(counts)} classes)</p>"
        names = [str(i) if self.class_names is None else escape(self.class_names[i]) for i in range(len(counts))]
        head = "".join(f'<th scope="col">{name}</th>' for name in names)
        rows = []
        for name, row in zip(names, counts, strict=True):
            shares = row / max(row.sum(), 1)
            cells = (
                f'<td style="background:rgb(0 114 178/{s:.2f})">{n}</td>' for n, s in zip(row, shares, strict=True)
            )
            rows.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>')
        return f"<h2>True class (rows) and prediction</h2><table><tr><td></td>{head}</tr>{''.join(rows)}</table>"

    def _filters(self):
        """The kernels of the first convolution."""
        layer = next((layer for layer in self.model.layers if isinstance(layer, Conv2D)), None)
        if layer is None:
            return ""
        kernel = layer.get_weights()[0]  # (KH, KW, C, F)
        is_colour = kernel.shape[2] == 3
        tiles = [kernel[..., f] if is_colour else kernel[:, :, 0, f] for f in range(min(kernel.shape[3], MOST_TILES))]
        pictures = "".join(picture(tile, f"filter {i + 1}", not is_colour) for i, tile in enumerate(tiles))
        return f"<h2>Filters of {escape(layer.name)}</h2>{pictures}"

    def _maps(self):
        """What the layers make of the chosen image."""
        if self._array is None:
            return ""
        inside = look_inside(self.model.graph, [self._array.shape[1:]])
        paths = [path for path, tensor in inside.tensors.items() if tensor.ndim == 4][:MOST_LAYERS]
        if not paths:
            return ""
        tensors = list(dict.fromkeys(inside.tensors[path] for path in paths))
        found = dict(
            zip(tensors, values(inside.between([], tensors), self.model.engine.store, [self._array]), strict=True)
        )
        rows = []
        for path in paths:
            maps = found[inside.tensors[path]][0]  # (H, W, K)
            tiles = (picture(maps[..., k], f"map {k + 1}") for k in range(min(maps.shape[-1], MOST_TILES)))
            rows.append(f"<h3>{escape(path)}</h3>{''.join(tiles)}")
        return f"<h2>Feature maps of the chosen image</h2>{''.join(rows)}"

    # ---------------------------------------------------------------------------------------------------- its places

    def _write(self, state):
        """The page as a file, which appears whole or not at all."""
        if not speaks():
            return
        with files.replacing(self.path) as temporary:
            temporary.write_text(self.page(state), encoding="utf-8")

    def _serve(self):
        """Serve the page in a thread of its own, at the first port that is free."""
        self._stop()
        for port in range(self.port, self.port + PORTS_TRIED):
            try:
                self._server = _Server(("127.0.0.1", port), _handler(self))
                break
            except OSError:
                continue
        else:
            raise OSError(
                f"no port is free for LiveDashboard: give another one, port=, or write a file, path='training.html'. "
                f"Received: port={self.port}, and {self.port} … {self.port + PORTS_TRIED - 1} are taken"
            )
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()
        say(f"LiveDashboard: {self.url}")

    def _stop(self):
        """End the server and its thread."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self.url = None


class _Server(ThreadingHTTPServer):
    """Refuses a port that another program serves."""

    allow_reuse_address = False
    daemon_threads = True


def _handler(dashboard):
    """What answers a browser: the page, and its content alone."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            texts = {"/": dashboard.page, "/content": lambda: dashboard._content}
            answer = texts.get(self.path)
            is_here = self.headers.get("Host", "").split(":")[0] in ("127.0.0.1", "localhost")
            if answer is None or not is_here:
                self.send_error(404)
                return
            data = answer().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    return Handler
