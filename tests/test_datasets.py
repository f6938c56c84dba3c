"""Data sets: formats, lookup order, downloads, and that no damaged file gets through."""

import dataclasses
import gzip
import hashlib
import http.server
import io
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.datasets import DataNotFoundError, _files, cifar10, digits, fashion_mnist, mnist
from minicnn.datasets._idx import read_idx
from minicnn.errors import DataError

REAL_DATA = os.environ.get("MINICNN_DATA")  # read before the fixture below hides it
REAL_DOWNLOAD = _files.download
MNIST_NAMES = [file.name.removesuffix(".gz") for file in mnist.DATASET.files]
BATCH_NAMES = [*cifar10.BATCHES, cifar10.TEST_BATCH]

needs_real_data = pytest.mark.skipif(not REAL_DATA, reason="MINICNN_DATA is not set")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache folder, no data folder and no network."""

    def offline(file, folder):
        raise DataNotFoundError(f"download of {file.name} failed (offline)")

    monkeypatch.delenv("MINICNN_DATA", raising=False)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_files, "download", offline)
    return tmp_path / "cache" / "datasets"


# --- files written by this test, without the library ---------------------------------------------------------------


def idx_bytes(array):
    """An array of bytes in the IDX format."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def small_mnist(seed=0, train=12, test=5):
    """Four arrays in the order of the published files."""
    rng = np.random.default_rng(seed)
    shapes = [(train, 28, 28), (train,), (test, 28, 28), (test,)]
    return [rng.integers(0, 256 if len(shape) == 3 else 10, shape, np.uint8) for shape in shapes]


def write_mnist(folder, arrays, rename=lambda name: name, compress=True):
    """Write the four files; gzip-compressed files get the ending .gz."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(MNIST_NAMES, arrays, strict=True):
        content = idx_bytes(array)
        path = folder / (rename(name) + (".gz" if compress else ""))
        path.write_bytes(gzip.compress(content, 1) if compress else content)


def assert_is_mnist(data, arrays):
    """Compare what `load_data` returned with the written arrays."""
    (x_train, y_train), (x_test, y_test) = data
    for got, expected in zip((x_train, y_train, x_test, y_test), arrays, strict=True):
        assert got.dtype == np.uint8
        assert got.flags.writeable
        np.testing.assert_array_equal(got, expected)


@pytest.fixture
def small_batches(monkeypatch):
    """Six CIFAR-10 files of 4 records: {name: bytes}."""
    monkeypatch.setattr(cifar10, "RECORDS", 4)
    rng = np.random.default_rng(1)
    records = rng.integers(0, 256, (6, 4, 3073), np.uint8)
    records[:, :, 0] %= 10
    return {name: part.tobytes() for name, part in zip(BATCH_NAMES, records, strict=True)}


def write_batches(folder, batches):
    """Write the six .bin files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in batches.items():
        (folder / name).write_bytes(content)


def tar_gz(members):
    """A tar.gz archive from (name, bytes) pairs, or TarInfo objects without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def archive_members(batches):
    """The published archive's members."""
    named = [(f"cifar-10-batches-bin/{name}", content) for name, content in batches.items()]
    return [("cifar-10-batches-bin/readme.html", b"<html>"), *named]


def assert_is_cifar(data, batches):
    """Compare with a slow reading of the records, pixel by pixel."""
    (x_train, y_train), (x_test, y_test) = data
    assert x_train.shape == (20, 32, 32, 3)
    assert y_train.shape == (20, 1)
    assert x_test.shape == (4, 32, 32, 3)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    second = batches["data_batch_2.bin"][3073:6146]  # the second record of the second file: image 4 + 1
    assert y_train[5, 0] == second[0]
    for row, column, channel in [(0, 0, 0), (31, 31, 2), (3, 17, 1), (17, 3, 1)]:
        assert x_train[5, row, column, channel] == second[1 + channel * 1024 + row * 32 + column]
    assert y_test[:, 0].tolist() == list(batches["test_batch.bin"][::3073])


# --- MNIST and Fashion-MNIST: formats and layouts -------------------------------------------------------------------


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("dotted", [True, False])
@pytest.mark.parametrize(
    ("module", "subfolder"),
    [
        (mnist, "mnist"),
        (mnist, "."),
        (fashion_mnist, "fashion-mnist"),
        (fashion_mnist, "fashion_mnist"),
        (fashion_mnist, "."),
    ],
)
def test_idx_layouts(tmp_path, module, subfolder, dotted, compress):
    arrays = small_mnist()
    write_mnist(tmp_path / subfolder, arrays, (lambda n: n.replace("-idx", ".idx")) if dotted else str, compress)
    assert_is_mnist(module.load_data(tmp_path), arrays)
    assert_is_mnist(module.load_data(str(tmp_path)), arrays)


def test_content_decides_whether_a_file_is_compressed(tmp_path):
    arrays = small_mnist()
    write_mnist(tmp_path, arrays)
    for path in tmp_path.glob("*.gz"):
        path.write_bytes(gzip.decompress(path.read_bytes()))
    assert_is_mnist(mnist.load_data(tmp_path), arrays)


def test_fashion_files_are_not_taken_for_mnist(tmp_path):
    arrays = small_mnist(train=16)
    arrays[1][:] = [9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9]
    write_mnist(tmp_path, arrays)
    fashion_mnist.load_data(tmp_path)
    with pytest.raises(DataError, match="holds Fashion-MNIST"):
        mnist.load_data(tmp_path)


def test_class_names():
    assert len(fashion_mnist.CLASS_NAMES) == len(cifar10.CLASS_NAMES) == 10
    assert fashion_mnist.CLASS_NAMES[9] == "Ankle boot"
    assert cifar10.CLASS_NAMES[3] == "cat"


# --- lookup order ---------------------------------------------------------------------------------------------------


def test_lookup_order(monkeypatch, tmp_path, cache):
    in_cache, in_variable, in_argument = (small_mnist(seed) for seed in (1, 2, 3))
    write_mnist(cache / "mnist", in_cache)
    assert_is_mnist(mnist.load_data(), in_cache)

    write_mnist(tmp_path / "variable" / "mnist", in_variable)
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "variable"))
    assert_is_mnist(mnist.load_data(), in_variable)

    write_mnist(tmp_path / "argument", in_argument)
    assert_is_mnist(mnist.load_data(tmp_path / "argument"), in_argument)


def test_data_dir_is_the_only_place(tmp_path, cache):
    write_mnist(cache / "mnist", small_mnist())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataNotFoundError) as error:
        mnist.load_data(tmp_path / "empty")
    assert str(cache) not in str(error.value)


def test_places_are_not_mixed(monkeypatch, tmp_path, cache):
    """One missing file in MINICNN_DATA: all four come from the cache."""
    in_cache = small_mnist(1)
    write_mnist(cache / "mnist", in_cache)
    write_mnist(tmp_path / "variable", small_mnist(2))
    (tmp_path / "variable" / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "variable"))
    assert_is_mnist(mnist.load_data(), in_cache)


def test_cache_folder_variables(monkeypatch, tmp_path):
    assert _files.download_folder() == tmp_path / "cache" / "datasets"
    monkeypatch.delenv("MINICNN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert _files.download_folder() == tmp_path / "xdg" / "minicnn" / "datasets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _files.download_folder() == tmp_path / ".cache" / "minicnn" / "datasets"


@pytest.mark.parametrize("module", [mnist, fashion_mnist, cifar10])
def test_not_found_is_one_clear_line(monkeypatch, tmp_path, cache, module):
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataNotFoundError) as error:
        module.load_data()
    message = str(error.value)
    assert isinstance(error.value, DataError)
    assert isinstance(error.value, FileNotFoundError)
    assert "\n" not in message
    for part in (f"{tmp_path / 'nowhere'} (no such folder)", str(cache), "MINICNN_DATA", "data_dir", "offline"):
        assert part in message


# --- damaged IDX files ----------------------------------------------------------------------------------------------

IMAGES = idx_bytes(small_mnist()[0])


@pytest.mark.parametrize(
    ("content", "expected", "received"),
    [
        (b"", "IDX header", ""),
        (IMAGES[:3], "IDX header", "00 00 08"),
        (IMAGES[:11], "12 bytes of sizes", "7 bytes"),
        (b"\x01" + IMAGES[1:], "IDX header", "01 00 08 03"),
        (IMAGES[:2] + b"\x0d" + IMAGES[3:], "IDX header", "00 00 0d 03"),
        (idx_bytes(np.zeros(3, np.uint8)), "IDX header", "00 00 08 01"),
        (idx_bytes(np.zeros((3, 28, 27), np.uint8)), r"\(28, 28\)", r"\(28, 27\)"),
        (idx_bytes(np.zeros((0, 28, 28), np.uint8)), "1 to 20 items", "announces 0"),
        (idx_bytes(np.zeros((21, 28, 28), np.uint8)), "1 to 20 items", "announces 21"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 28, 28), "1 to 20 items", "announces 4294967295"),
        (IMAGES[:-1], "9408 bytes", "9407 bytes"),
        (IMAGES + b"\0", "9408 bytes", "more"),
        (gzip.compress(IMAGES)[:-100], "complete IDX file", "EOFError"),
        (gzip.compress(IMAGES)[:-8] + bytes(8), "complete IDX file", "CRC check failed"),
        (b"\x1f\x8b not gzip", "complete IDX file", "BadGzipFile"),
    ],
    ids=[
        "empty",
        "cut-magic",
        "cut-sizes",
        "first-byte",
        "type",
        "axes",
        "image-shape",
        "no-items",
        "too-many",
        "huge",
        "short",
        "long",
        "cut-gzip",
        "gzip-checksum",
        "not-gzip",
    ],
)
def test_damaged_idx(tmp_path, content, expected, received):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"(?s){path}.*MINICNN_DATA.*Expected.*{expected}.*Received.*{received}"):
        read_idx(path, (28, 28), max_items=20)


def test_decompression_bomb_is_not_unpacked(tmp_path):
    """100 MB of zeros behind a header that announces 10 labels: at most a few buffers are unpacked."""
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(struct.pack(">4BI", 0, 0, 8, 1, 10))
        for _ in range(100):
            file.write(bytes(1 << 20))
    unpacked = []
    original = gzip._GzipReader.read

    def counting_read(self, size=-1):
        data = original(self, size)
        unpacked.append(len(data))
        return data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gzip._GzipReader, "read", counting_read)
        with pytest.raises(DataError, match="Received: more"):
            read_idx(path, (), max_items=10)
    assert 0 < sum(unpacked) < 1 << 20


def test_label_out_of_range(tmp_path):
    arrays = small_mnist()
    arrays[3][2] = 10
    write_mnist(tmp_path, arrays)
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz.*labels 0 to 9.*label 10"):
        mnist.load_data(tmp_path)


def test_images_and_labels_differ_in_number(tmp_path):
    arrays = small_mnist()
    arrays[1] = arrays[1][:-1]
    write_mnist(tmp_path, arrays)
    with pytest.raises(DataError, match=r"train-labels.*12 labels.*11 labels"):
        mnist.load_data(tmp_path)


@st.composite
def mutated(draw, original):
    """Bytes with a few bits flipped, bytes of the header replaced, a piece cut out, or something appended."""
    content = bytearray(original)
    for position, bit in draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 7)), max_size=4)):
        content[position] ^= 1 << bit
    for position, value in draw(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 255)), max_size=3)):
        content[position] = value
    start = draw(st.integers(0, len(content)))
    stop = draw(st.one_of(st.just(start), st.integers(start, len(content))))
    return bytes(content[:start] + content[stop:]) + draw(st.binary(max_size=3))


IDX_SAMPLE = idx_bytes(np.arange(40, dtype=np.uint8).reshape(10, 2, 2))
TAR_SAMPLE = tar_gz([("cifar-10-batches-bin/" + name, bytes(3073)) for name in BATCH_NAMES])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """One file, overwritten by every example."""
    return tmp_path_factory.mktemp("mutated") / "file"


@settings(max_examples=300, deadline=None)
@given(content=st.one_of(mutated(IDX_SAMPLE), mutated(gzip.compress(IDX_SAMPLE))))
def test_mutated_idx_is_valid_or_refused(scratch, content):
    scratch.write_bytes(content)
    try:
        values = read_idx(scratch, (2, 2), max_items=20)
    except DataError:
        return
    assert values.dtype == np.uint8
    assert 1 <= len(values) <= 20
    assert values.shape[1:] == (2, 2)


@settings(max_examples=100, deadline=None)
@given(content=mutated(TAR_SAMPLE))
def test_mutated_archive_is_valid_or_refused(scratch, content):
    scratch.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10, "RECORDS", 1)
        try:
            batches = cifar10._read_archive(scratch)
        except DataError:
            return
    assert {len(batch) for batch in batches.values()} == {3073}


# --- CIFAR-10 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subfolder", [".", "cifar-10", "cifar10"])
@pytest.mark.parametrize("form", ["folder", "files", "archive"])
def test_cifar_layouts(tmp_path, small_batches, subfolder, form):
    home = tmp_path / subfolder
    home.mkdir(exist_ok=True)
    if form == "archive":
        (home / "cifar-10-binary.tar.gz").write_bytes(tar_gz(archive_members(small_batches)))
    else:
        write_batches(home / "cifar-10-batches-bin" if form == "folder" else home, small_batches)
    before = sorted(tmp_path.rglob("*"))
    assert_is_cifar(cifar10.load_data(tmp_path), small_batches)
    assert sorted(tmp_path.rglob("*")) == before, "nothing is extracted"


def test_incomplete_cifar_folder(tmp_path, small_batches):
    del small_batches["data_batch_3.bin"]
    write_batches(tmp_path / "cifar-10-batches-bin", small_batches)
    with pytest.raises(DataNotFoundError, match=r"cifar-10-batches-bin holds .*; expected are data_batch_1.bin, "):
        cifar10.load_data(tmp_path)


@pytest.mark.parametrize("change", [lambda batch: batch[:-1], lambda batch: batch + b"\0"])
def test_cifar_file_of_wrong_size(tmp_path, small_batches, change):
    small_batches["test_batch.bin"] = change(small_batches["test_batch.bin"])
    write_batches(tmp_path, small_batches)
    with pytest.raises(DataError, match=r"test_batch.bin.*Expected: 12292 bytes.*Received: 1229[13] bytes"):
        cifar10.load_data(tmp_path)


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_cifar_label_out_of_range(tmp_path, small_batches, form):
    small_batches["data_batch_4.bin"] = b"\x0a" + small_batches["data_batch_4.bin"][1:]
    if form == "folder":
        write_batches(tmp_path, small_batches)
    else:
        (tmp_path / "cifar-10-binary.tar.gz").write_bytes(tar_gz(archive_members(small_batches)))
    with pytest.raises(DataError, match=r"labels 0 to 9.*label 10"):
        cifar10.load_data(tmp_path)


def link_to(target):
    """A symbolic link in the place of test_batch.bin, with the size of the file."""
    info = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
    info.type, info.linkname, info.size = tarfile.SYMTYPE, target, 12292
    return info


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda members: tar_gz(members[:-1]), "test_batch.bin in the archive.*no such member"),
        (lambda members: tar_gz([*members[:-1], ("../test_batch.bin", members[-1][1])]), "no such member"),
        (lambda members: tar_gz([*members[:-1], link_to("/etc/passwd")]), "as a file of 12292 bytes"),
        (lambda members: tar_gz([*members[:-1], (members[-1][0], members[-1][1][:-1])]), "12292 bytes.*12291 bytes"),
        (lambda members: tar_gz(members)[:-300], "published tar.gz archive"),
        (lambda members: tar_gz(members)[:-8] + bytes(8), "CRC check failed"),
        (lambda members: tar_gz([*members, ("bomb", bytes(3 << 20))]), "unpacks to more"),
        (lambda members: tar_gz([("bomb", bytes(3 << 20)), *members]), "unpacks to more"),
        (lambda members: b"not an archive", "published tar.gz archive"),
    ],
    ids=["missing", "outside", "link", "short", "cut-gzip", "gzip-checksum", "bomb-after", "bomb-before", "not-gzip"],
)
def test_damaged_archive(tmp_path, small_batches, edit, message):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(edit(archive_members(small_batches)))
    with pytest.raises(DataError, match=f"(?s){path}.*{message}"):
        cifar10.load_data(tmp_path)


def test_huge_tar_header_is_not_read_into_memory(tmp_path, small_batches):
    """An extended header is read in one piece by tarfile; one that announces 8 GB must not be."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, (1 << 33) - 1
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(8 << 20), 1))
    with pytest.raises(DataError, match="unpacks to more"):
        cifar10.load_data(tmp_path)


def test_huge_member_is_not_looked_for(tmp_path, small_batches, monkeypatch):
    """To skip a member that announces 64 GB, tarfile would read seven million times at the end of the file."""
    info = tarfile.TarInfo("large")
    info.size = (1 << 36) - 1
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 10), 1))
    reads, read = [], cifar10._LimitedStream.read
    monkeypatch.setattr(cifar10._LimitedStream, "read", lambda self, count: (reads.append(count), read(self, count))[1])
    with pytest.raises(DataError, match="unpacks to more"):
        cifar10.load_data(tmp_path)
    assert len(reads) < 10


@pytest.mark.parametrize("pickled", ["cifar-10-batches-py/data_batch_1", "cifar-10-python.tar.gz"])
def test_pickled_cifar_is_never_read(tmp_path, pickled):
    (tmp_path / pickled).parent.mkdir(exist_ok=True)
    (tmp_path / pickled).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(DataNotFoundError, match=r"pickled form, which is never read: get cifar-10-binary\.tar\.gz"):
        cifar10.load_data(tmp_path)


def test_other_files_are_listed(tmp_path):
    folder = tmp_path / "cifar-10"
    folder.mkdir()
    (tmp_path / "readme.txt").touch()
    with pytest.raises(
        DataNotFoundError, match=rf"{tmp_path} holds readme.txt; expected are data_batch_1.bin, .*tar.gz"
    ):
        cifar10.load_data(tmp_path)
    (folder / "data_batch_1.webp").touch()
    with pytest.raises(
        DataNotFoundError, match=rf"{folder} holds data_batch_1.webp; expected are .*test_batch.bin, or"
    ):
        cifar10.load_data(tmp_path)
    for number in range(10):
        (folder / f"image_{number}").touch()
    with pytest.raises(DataNotFoundError, match=r"holds data_batch_1.webp, image_0, .*, image_6 and 3 more; expected"):
        cifar10.load_data(tmp_path)


# --- downloads from a server on this machine ------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`: {path: (announced length, bytes)}."""

    def do_GET(self):
        self.server.requests.append(self.path)
        if self.path not in self.server.files:
            self.send_error(404)
            return
        length, content = self.server.files[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        """Stay silent."""


@pytest.fixture
def server(monkeypatch):
    """A running server; `serve(path, content)` adds a file, `address` is its root."""
    pytest.importorskip("pooch")
    monkeypatch.setattr(_files, "download", REAL_DOWNLOAD)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.requests = {}, []
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    server.serve = lambda path, content, length=None: server.files.update({path: (length or len(content), content)})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


GOOD = np.random.default_rng(2).bytes(200_000)


def remote(*mirrors, content=GOOD):
    """A file that should have `content`."""
    return _files.RemoteFile("file.gz", len(content), hashlib.sha256(content).hexdigest(), mirrors)


def test_download(server, tmp_path):
    server.serve("/a/file.gz", GOOD)
    path = _files.download(remote(f"{server.address}/a/"), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "file.gz"
    assert path.read_bytes() == GOOD
    assert os.listdir(path.parent) == ["file.gz"]


def test_next_mirror_is_tried(server, tmp_path):
    server.serve("/wrong/file.gz", b"<html>please log in to this network</html>")
    server.serve("/cut/file.gz", GOOD[:1000], length=len(GOOD))
    server.serve("/good/file.gz", GOOD)
    mirrors = [f"{server.address}/{name}/" for name in ("missing", "wrong", "cut", "good", "unused")]
    path = _files.download(remote("http://127.0.0.1:1/", *mirrors), tmp_path)
    assert path.read_bytes() == GOOD
    assert server.requests == ["/missing/file.gz", "/wrong/file.gz", "/cut/file.gz", "/good/file.gz"]
    assert os.listdir(tmp_path) == ["file.gz"]


@pytest.mark.parametrize(
    ("content", "length", "error", "message"),
    [
        (GOOD[:-1] + b"x", None, DataError, "not the published file.*Expected: SHA-256 .*Received: .*got"),
        (GOOD[:1000], None, DataError, "not the published file"),
        (
            GOOD[:1000],
            len(GOOD),
            DataNotFoundError,
            r"download of file.gz failed \(127.0.0.1:\d+: ChunkedEncodingError",
        ),
        (GOOD + bytes(1 << 20), None, DataError, "Received: expected 200000 bytes but got more"),
    ],
    ids=["one-byte-wrong", "cut-by-the-server", "cut-on-the-way", "too-long"],
)
def test_bad_download_leaves_nothing(server, tmp_path, content, length, error, message):
    server.serve("/file.gz", content, length)
    with pytest.raises(error, match=message) as caught:
        _files.download(remote(f"{server.address}/"), tmp_path)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_bad_cached_file_is_replaced_only_by_a_good_one(server, tmp_path):
    (tmp_path / "file.gz").write_bytes(b"old")
    server.serve("/file.gz", b"bad")
    with pytest.raises(DataError):
        _files.download(remote(f"{server.address}/"), tmp_path)
    assert (tmp_path / "file.gz").read_bytes() == b"old"
    server.serve("/file.gz", GOOD)
    assert _files.download(remote(f"{server.address}/"), tmp_path).read_bytes() == GOOD


def test_no_server(server, tmp_path):
    mirrors = "http://127.0.0.1:1/", f"{server.address}/"
    with pytest.raises(DataNotFoundError, match=r"127\.0\.0\.1:1: ConnectionError; 127\.0\.0\.1:\d+: HTTP 404"):
        _files.download(remote(*mirrors), tmp_path)


def test_without_pooch(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataNotFoundError, match="pip install pooch"):
        REAL_DOWNLOAD(remote("http://127.0.0.1:1/"), tmp_path)


def test_unwritable_cache(server, monkeypatch, tmp_path):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "a file"))
    with pytest.raises(DataError, match=f"cache folder {tmp_path / 'a file'}.* cannot be written.*MINICNN_CACHE"):
        mnist.load_data()
    assert server.requests == []


def test_progress_bar(server, monkeypatch, tmp_path):
    pytest.importorskip("tqdm")
    server.serve("/file.gz", GOOD)
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    _files.download(remote(f"{server.address}/"), tmp_path)
    assert "file.gz: 100%" in terminal.getvalue()


def test_load_data_downloads_into_the_cache_once(server, monkeypatch, cache):
    arrays = small_mnist()
    contents = [gzip.compress(idx_bytes(array)) for array in arrays]
    files = []
    for name, content in zip(MNIST_NAMES, contents, strict=True):
        server.serve(f"/{name}.gz", content)
        sha256 = hashlib.sha256(content).hexdigest()
        files.append(_files.RemoteFile(f"{name}.gz", len(content), sha256, (f"{server.address}/",)))
    monkeypatch.setattr(mnist, "DATASET", dataclasses.replace(mnist.DATASET, files=tuple(files)))
    assert_is_mnist(mnist.load_data(), arrays)
    assert sorted(os.listdir(cache / "mnist")) == sorted(f"{name}.gz" for name in MNIST_NAMES)
    assert_is_mnist(mnist.load_data(), arrays)
    assert len(server.requests) == 4


def test_cifar_downloads_into_the_cache(server, monkeypatch, small_batches, cache):
    content = tar_gz(archive_members(small_batches))
    server.serve("/cifar-10-binary.tar.gz", content)
    sha256 = hashlib.sha256(content).hexdigest()
    archive = _files.RemoteFile(cifar10.ARCHIVE.name, len(content), sha256, (f"{server.address}/",))
    monkeypatch.setattr(cifar10, "ARCHIVE", archive)
    assert_is_cifar(cifar10.load_data(), small_batches)
    assert (cache / "cifar-10" / "cifar-10-binary.tar.gz").is_file()


def test_import_is_light():
    code = "import sys, minicnn.datasets; print({'pooch', 'requests', 'tqdm', 'numba'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output == "set()\n"


# --- digits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("upscale", "size"), [(False, 8), (True, 28)])
def test_digits_shapes(upscale, size):
    (x_train, y_train), (x_test, y_test) = digits.load_data(upscale)
    assert x_train.shape == (1442, size, size)
    assert x_test.shape == (355, size, size)
    assert y_train.shape == (1442,)
    assert y_test.shape == (355,)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    assert x_train.min() == 0
    assert x_train.max() == 255
    counts = np.bincount(np.concatenate([y_train, y_test]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as published
    assert (np.abs(np.bincount(y_test) - counts / 5) < 1).all()


def test_digits_held_out_images():
    """Number 4, 9, 14, ... of each class; together the parts are the whole set, each image once."""
    pixels, labels = digits._read()
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    threes = digits._to_bytes(pixels[labels == 3], 16)
    np.testing.assert_array_equal(x_test[y_test == 3], threes[4::5])
    np.testing.assert_array_equal(x_train[y_train == 3][:5], threes[[0, 1, 2, 3, 5]])
    assert len(x_train) + len(x_test) == len(pixels) == 1797
    assert pixels[0].tolist()[0] == [0, 0, 5, 13, 9, 1, 0, 0]  # the published file's first row
    assert int(pixels.sum(dtype=np.int64)) == 561718
    assert sorted(np.unique(pixels)) == list(range(17))


@pytest.mark.parametrize("test_split", [0.1, 0.25, 0.5, 0.9])
def test_digits_split(test_split):
    (x_train, _), (x_test, y_test) = digits.load_data(test_split=test_split)
    assert len(x_train) + len(x_test) == 1797
    assert abs(len(x_test) - 1797 * test_split) <= 10
    assert len(np.unique(y_test)) == 10


@pytest.mark.parametrize("test_split", [0, 1, -0.1, 20])
def test_digits_bad_split(test_split):
    with pytest.raises(ValueError, match=r"between 0 and 1. Received"):
        digits.load_data(test_split=test_split)


def test_digits_upscale():
    """A margin of 4 pixels, a constant stays constant, and the middle of the ink stays where it was."""
    (images, _), _ = digits.load_data(upscale=True)
    assert not images[:, :4].any()
    assert not images[:, -4:].any()
    assert not images[:, :, :4].any()
    assert not images[:, :, -4:].any()
    constant = digits._upscale(np.full((1, 8, 8), 8, np.uint8))[0, 4:-4, 4:-4]
    assert (constant == 128).all()
    ramp = np.broadcast_to(np.arange(8, dtype=np.uint8), (1, 8, 8))
    row = digits._upscale(ramp)[0, 10, 4:-4].astype(int)
    np.testing.assert_allclose(row[2:18], ((np.arange(2, 18) + 0.5) * 0.4 - 0.5) * 255 / 16, atol=0.5)
    column = digits._upscale(ramp.transpose(0, 2, 1))[0, 4:-4, 10]
    np.testing.assert_array_equal(column, row)


# --- the real data, where it is at hand -----------------------------------------------------------------------------


@needs_real_data
@pytest.mark.parametrize(
    ("module", "train_sum", "first_class_counts"),
    [(mnist, 1_567_298_545, [5923, 6742, 5958]), (fashion_mnist, 3_431_114_169, [6000, 6000, 6000])],
)
def test_real_idx_data(module, train_sum, first_class_counts):
    (x_train, y_train), (x_test, y_test) = module.load_data(REAL_DATA)
    assert x_train.shape == (60000, 28, 28)
    assert y_train.shape == (60000,)
    assert x_test.shape == (10000, 28, 28)
    assert y_test.shape == (10000,)
    assert int(x_train.sum(dtype=np.int64)) == train_sum
    assert np.bincount(y_train)[:3].tolist() == first_class_counts


@needs_real_data
@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_pinned_checksums(module):
    for file, path in zip(module.DATASET.files, module.DATASET.locate(Path(REAL_DATA)), strict=True):
        if path.suffix == ".gz":
            content = path.read_bytes()
            assert len(content) == file.size
            assert hashlib.sha256(content).hexdigest() == file.sha256


@needs_real_data
def test_real_cifar():
    """In any order: class counts and the sum of all pixels."""
    with tempfile.TemporaryDirectory() as folder:
        (x_train, y_train), (x_test, y_test) = cifar10.load_data(real_cifar_folder(folder))
    assert x_train.shape == (50000, 32, 32, 3)
    assert x_test.shape == (10000, 32, 32, 3)
    assert np.bincount(y_train[:, 0]).tolist() == [5000] * 10
    assert np.bincount(y_test[:, 0]).tolist() == [1000] * 10
    # The channel means that everybody normalizes with: 0.4914, 0.4822, 0.4465.
    np.testing.assert_allclose(x_train.mean((0, 1, 2)) / 255, [0.4914, 0.4822, 0.4465], atol=1e-4)
    assert int(x_test.sum(dtype=np.int64)) == 3_733_375_634


def real_cifar_folder(scratch_folder):
    """The data folder itself if it has the binary form, else `scratch_folder` with the unpacked mosaics."""
    script = Path(REAL_DATA) / "unpack_cifar10.py"
    if cifar10.locate(Path(REAL_DATA)) is not None:
        return REAL_DATA
    pytest.importorskip("PIL")
    if not script.is_file():
        pytest.skip("no CIFAR-10 in MINICNN_DATA")
    subprocess.run([sys.executable, str(script), scratch_folder], check=True, capture_output=True)
    return scratch_folder
