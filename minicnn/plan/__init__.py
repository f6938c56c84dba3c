"""From a graph to the arrays and steps that run it."""
