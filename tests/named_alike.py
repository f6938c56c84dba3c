"""A user's class that is called as one of the library's, for tests of what files and models make of that."""

from minicnn import keras


class Dropout(keras.layers.Layer):
    """Of the same arguments as the library's, which would take its place without a word."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs):
        return inputs * self.rate

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
