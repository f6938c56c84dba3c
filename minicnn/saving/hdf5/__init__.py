"""HDF5 files that nobody vouches for: the part of the format that Keras writes, and nothing else.

libhdf5 is made for files that one trusts: a few flipped bits make it loop for ever (see docs/files.md), and external
links or virtual datasets make it read other files. So files are written with h5py and read here, in plain Python: every
address is checked against the file's size, the number of reads is bounded, no structure is visited twice, and whatever
Keras does not write (links, filters, chunks, external data, …) is refused by name.

The layout of the structures is that of "HDF5 File Format Specification Version 3.0" (The HDF Group), whose section
numbers stand beside the functions.
"""

from minicnn.saving.hdf5.contents import (
    MAX_FILE,
    Dataset,
    Group,
    count_numbers,
    datasets,
    file_content,
    read_finite,
    with_slashes,
)
from minicnn.saving.hdf5.reading import read
from minicnn.saving.hdf5.writing import check_name, check_writable, new_file

__all__ = [
    "MAX_FILE",
    "Dataset",
    "Group",
    "check_name",
    "check_writable",
    "count_numbers",
    "datasets",
    "file_content",
    "new_file",
    "read",
    "read_finite",
    "with_slashes",
]
