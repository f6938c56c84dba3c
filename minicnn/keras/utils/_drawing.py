"""``plot_model`` and ``model_to_dot``, whose result is what pydot's object is; `minicnn.visualization` draws both."""

from __future__ import annotations

from io import BytesIO
from os import PathLike
from typing import TYPE_CHECKING, Any

from minicnn import visualization
from minicnn.checks import check_choice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS = ("png", "svg", "pdf", "ps", "eps", "jpg", "jpeg")


class Drawing:
    """A diagram that is asked for as one of pydot is: ``SVG(model_to_dot(model).create(prog="dot", format="svg"))``.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    """

    def __init__(self, figure: Figure) -> None:
        self.figure: Figure = figure

    def create(self, prog: Any = None, format: str = "ps", encoding: str | None = None) -> bytes:
        """The bytes of a file.

        Parameters
        ----------
        prog, encoding :
            Accepted for pydot's sake: Graphviz is not needed.
        format : {"png", "svg", "pdf", "ps", "eps", "jpg", "jpeg"}, default "ps"

        Raises
        ------
        ValueError
            For another format: "dot" and "raw" are Graphviz's own language.
        """
        check_choice("format", format, _FORMATS)
        file = BytesIO()
        self.figure.savefig(file, format=format)
        return file.getvalue()

    def write(self, path: str | PathLike[str], prog: Any = None, format: str = "ps", encoding: Any = None) -> bool:
        """A file of that format; True."""
        made = self.create(prog, format)
        with open(path, "wb") as file:
            file.write(made)
        return True

    def create_png(self, prog: Any = None, encoding: Any = None) -> bytes:
        """``create(format="png")``."""
        return self.create(prog, "png")

    def create_svg(self, prog: Any = None, encoding: Any = None) -> bytes:
        """``create(format="svg")``."""
        return self.create(prog, "svg")

    def create_pdf(self, prog: Any = None, encoding: Any = None) -> bytes:
        """``create(format="pdf")``."""
        return self.create(prog, "pdf")

    def write_png(self, path: str | PathLike[str], prog: Any = None, encoding: Any = None) -> bool:
        """``write(path, format="png")``."""
        return self.write(path, prog, "png")

    def write_svg(self, path: str | PathLike[str], prog: Any = None, encoding: Any = None) -> bool:
        """``write(path, format="svg")``."""
        return self.write(path, prog, "svg")

    def write_pdf(self, path: str | PathLike[str], prog: Any = None, encoding: Any = None) -> bool:
        """``write(path, format="pdf")``."""
        return self.write(path, prog, "pdf")

    def _repr_png_(self) -> bytes:
        return self.create_png()


def model_to_dot(model: Any, *args: Any, **options: Any) -> Drawing:
    """A model's diagram, to be written by ``write_png`` and its like, or shown by ``SVG(….create(format="svg"))``.

    Parameters
    ----------
    model : Model
    *args, **options
        Keras's, of `plot_model`, but for the file, in this order: show_shapes, show_dtype, show_layer_names, rankdir,
        expand_nested, dpi. A `subgraph` changes nothing.
    """
    options.pop("subgraph", None)
    return Drawing(visualization.plot_model(model, None, *args, **options))


def plot_model(model: Any, to_file: str | PathLike[str] | None = "model.png", *args: Any, **options: Any) -> Any:
    """`minicnn.visualization.plot_model`, which writes a file also if none is named, as Keras's does.

    Parameters
    ----------
    model : Model
    to_file : str or path, default "model.png"
        None: no file.
    *args, **options
        Keras's, as for `model_to_dot`.
    """
    return visualization.plot_model(model, to_file, *args, **options)
