"""Tests for layers of one's own: `check_layer` demands of them what the package's tests demand of its layers."""

from minicnn.testing.check import check_layer

__all__ = ["check_layer"]
