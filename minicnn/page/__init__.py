"""A network as a web page: one file that draws, explains and can be broken, for a classroom without a network."""

from minicnn.page.exporter import export_html as export_html

__all__ = ["export_html"]
