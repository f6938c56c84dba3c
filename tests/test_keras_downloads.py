"""``keras.utils.get_file`` and what is downloaded by it; from files and a server of this machine."""

import hashlib
import http.server
import io
import json
import os
import shutil
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minicnn.errors import DataError
from minicnn.keras import applications
from minicnn.keras.applications import _published
from minicnn.keras.utils import _downloads, get_file

FLOWERS = {"flower_photos/daisy/a.jpg": b"a", "flower_photos/roses/b.jpg": b"b", "flower_photos/LICENSE.txt": b"free"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Keras's folder."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras"


def tar(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path.as_uri()


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path.as_uri()


def tree(folder):
    """File → content, below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


@pytest.fixture
def server(monkeypatch):
    """Its address; `server.files` holds what it gives."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = self.server.files.get(self.path)
            self.server.asked.append(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked = {}, []
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_is_downloaded_once(server, home, capsys):
    server.files["/a/numbers.npz"] = b"numbers"
    origin = f"{server.address}/a/numbers.npz"
    path = get_file(origin=origin)
    assert path == str(home / "datasets" / "numbers.npz") and Path(path).read_bytes() == b"numbers"
    assert capsys.readouterr().out == f"Downloading data from {origin}\n"
    server.files["/a/numbers.npz"] = b"others"
    assert get_file("numbers.npz", origin) == path and Path(path).read_bytes() == b"numbers"
    assert get_file("numbers.npz", origin, force_download=True) == path and Path(path).read_bytes() == b"others"
    assert server.asked == ["/a/numbers.npz"] * 2 and os.listdir(home / "datasets") == ["numbers.npz"]


@pytest.mark.parametrize(("kind", "argument"), [("md5", "file_hash"), ("sha256", "file_hash"), ("md5", "md5_hash")])
def test_hashes(server, home, kind, argument):
    """A file that is there and is another one is replaced, if what is downloaded is the right one; else it stays."""
    digits = hashlib.new(kind, b"right").hexdigest().upper()
    path = home / "models" / "m.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"old")
    server.files["/m.h5"] = b"wrong"
    options = {"origin": f"{server.address}/m.h5", "cache_subdir": "models", argument: digits}
    with pytest.raises(DataError, match=r"is not the file whose hash was given.*Received: a file with another hash"):
        get_file(**options)
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == ["m.h5"]
    server.files["/m.h5"] = b"right"
    assert get_file(**options) == str(path) and path.read_bytes() == b"right"
    server.files.clear()
    assert get_file(**options) == str(path)


def test_what_cannot_be_downloaded(server, home, tmp_path):
    for origin, reason in {
        f"{server.address}/none.zip": r"HTTP 404\)",
        "http://127.0.0.1:9/none.zip": r"ConnectionError\)",
        (tmp_path / "none.zip").as_uri(): r"No such file or directory\)",
    }.items():
        with pytest.raises(DataError, match=f"cannot be downloaded .{reason}: .*put the file where it is kept, as"):
            get_file(origin=origin)
        assert os.listdir(home / "datasets") == []


def test_layout_of_keras_3(home, tmp_path):
    """The folder is what Keras 3.15 returns, and the path beside the archive is where Keras 2 unpacked it."""
    folder = home / "datasets"
    for name, place, archive in (
        ("flower_photos.tar", "flower_photos_extracted", "flower_photos.tar"),
        ("photos", "photos", "photos_archive"),
        (None, "flower_photos.tgz", "flower_photos.tgz_archive"),
    ):
        files = FLOWERS | {"flower_photos/name.txt": str(name).encode()}
        path = get_file(name, tar(tmp_path / "flower_photos.tgz", files), extract=True)
        assert path == str(folder / place) and tree(path) == files and (folder / archive).is_file()
        assert tree(folder / "flower_photos") == {n.removeprefix("flower_photos/"): c for n, c in files.items()}


def test_two_archives_with_the_same_name_inside(home, tmp_path):
    """Where Keras 2 unpacked them, there is the last one; a link that leads nowhere is made anew."""
    paths = {}
    for name in ("b", "c", "b"):
        origin = zipped(tmp_path / f"{name}.zip", {"data/a.txt": name.encode()})
        paths[name] = Path(get_file(f"{name}.zip", origin, extract=True))
        assert tree(home / "datasets" / "data") == {"a.txt": name.encode()}
    shutil.rmtree(paths["b"])
    get_file("c.zip", origin, extract=True)
    assert tree(home / "datasets" / "data") == {"a.txt": b"c"}
    (home / "datasets" / "data").unlink()
    (home / "datasets" / "data").mkdir()  # of one's own
    assert tree(get_file("b.zip", origin, extract=True)) == {"data/a.txt": b"b"}
    assert tree(home / "datasets" / "data") == {}


def test_links_are_unpacked_again(home, tmp_path):
    """Also where another program has unpacked the archive, and where a file has become a folder."""
    with tarfile.open(tmp_path / "l.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("d/a.txt"), io.BytesIO())
        link = tarfile.TarInfo("d/b.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "a.txt"
        archive.addfile(link)
    for _ in range(2):
        path = Path(get_file("l.tar", (tmp_path / "l.tar").as_uri(), extract=True, force_download=True))
        assert os.readlink(path / "d" / "b.txt") == "a.txt"
    tar(tmp_path / "l.tar", {"d/a.txt/new.txt": b"new"})
    get_file("l.tar", (tmp_path / "l.tar").as_uri(), extract=True, force_download=True)
    assert (path / "d" / "a.txt" / "new.txt").read_bytes() == b"new"
    tar(tmp_path / "l.tar", {"d/a.txt": b"old"})
    with pytest.raises(DataError, match=r"has a file where a folder is: move .*a\.txt\. Received: a folder"):
        get_file("l.tar", (tmp_path / "l.tar").as_uri(), extract=True, force_download=True)


def test_a_zip_of_keras_2(home, tmp_path):
    files = {"cats_and_dogs_filtered/train/cats/1.jpg": b"1"}
    path = get_file("cats_and_dogs.zip", zipped(tmp_path / "c.zip", files), extract=True)
    assert tree(os.path.join(os.path.dirname(path), "cats_and_dogs_filtered")) == {"train/cats/1.jpg": b"1"}
    assert tree(path) == files


def test_untar_is_that_of_keras_2(home, tmp_path):
    origin = tar(tmp_path / "flower_photos.tgz", FLOWERS)
    path = get_file("flower_photos", origin, untar=True)
    assert path == str(home / "datasets" / "flower_photos")
    assert tree(path) == {n.removeprefix("flower_photos/"): c for n, c in FLOWERS.items()}
    path = get_file("others", origin, untar=True)  # what is inside has another name
    assert tree(path) == FLOWERS


def test_it_is_unpacked_once(home, tmp_path):
    """But again if the archive is another one, or the folder has gone; files that lie there stay."""
    origin = zipped(tmp_path / "a.zip", {"a/1.txt": b"1"})
    path = Path(get_file("a.zip", origin, extract=True))
    (path / "own.txt").write_text("own")
    (path / "a" / "1.txt").write_text("mine")
    assert get_file("a.zip", origin, extract=True) == str(path)
    assert tree(path) == {"a/1.txt": b"mine", "own.txt": b"own"}
    zipped(tmp_path / "a.zip", {"a/1.txt": b"2", "a/2.txt": b"3"})
    get_file("a.zip", origin, extract=True, force_download=True)
    assert tree(path) == {"a/1.txt": b"2", "a/2.txt": b"3", "own.txt": b"own"}


def test_archives_write_nowhere_else(home, tmp_path):
    outside = tmp_path / "outside.txt"
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
    with tarfile.open(tmp_path / "link.tar", "w") as archive:
        archive.addfile(link)
        entry = tarfile.TarInfo("link/outside.txt")
        archive.addfile(entry, io.BytesIO())
    tar(tmp_path / "up.tgz", {"good.txt": b"", "../../outside.txt": b""})
    tar(tmp_path / "root.tgz", {str(outside): b""})
    (tmp_path / "cut.tgz").write_bytes((tmp_path / "up.tgz").read_bytes()[:-30])
    for name in ("link.tar", "up.tgz", "cut.tgz"):
        with pytest.raises(DataError, match="cannot be unpacked, and nothing of it was kept"):
            get_file(name, (tmp_path / name).as_uri(), extract=True)
        assert not outside.exists() and sorted(os.listdir(home / "datasets"))[:1] == [name]
        os.unlink(home / "datasets" / name)
    get_file("root.tgz", (tmp_path / "root.tgz").as_uri(), extract=True)  # it loses its root
    for name in ("../../outside.txt", str(outside)):
        zipped(tmp_path / "z.zip", {"good.txt": b"", name: b""})
        with pytest.raises(DataError, match="would be outside of the folder"):
            get_file("z.zip", (tmp_path / "z.zip").as_uri(), extract=True, force_download=True)
    zipped(tmp_path / "bad.zip", {"a.txt": b"a" * 1000})
    damaged = bytearray((tmp_path / "bad.zip").read_bytes())
    damaged[45:60] = bytes(range(15))
    (tmp_path / "bad.zip").write_bytes(damaged)
    with pytest.raises(DataError, match="cannot be unpacked, and nothing of it was kept"):
        get_file("bad.zip", (tmp_path / "bad.zip").as_uri(), extract=True)
    assert not outside.exists() and not (tmp_path / "keras" / "outside.txt").exists()


def test_other_formats(home, tmp_path):
    origin = zipped(tmp_path / "a.zip", {"a.txt": b"a"})
    with pytest.warns(UserWarning, match=r"is no archive of tar: it is not unpacked"):
        get_file("b.zip", origin, extract=True, archive_format="tar")
    assert tree(get_file("b.zip", origin, extract=True)) == {"a.txt": b"a"}
    assert tree(get_file("c.zip", origin, extract=True, archive_format=["tar", "zip"])) == {"a.txt": b"a"}


def test_folders(tmp_path, monkeypatch):
    origin = zipped(tmp_path / "a.zip", {"a/1.txt": b"1"})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "own.txt").write_text("own")
    assert tree(get_file("data", origin, extract=True, cache_dir=".", cache_subdir="")) == {
        "a/1.txt": b"1",
        "own.txt": b"own",
    }
    assert tree(tmp_path / "a") == {"1.txt": b"1"}
    absolute = tmp_path / "here" / "b.zip"
    assert get_file(absolute, origin) == str(absolute) and absolute.exists()
    assert get_file("c.zip", origin, cache_subdir=tmp_path / "sub") == str(tmp_path / "sub" / "c.zip")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "get_file needs origin=.*Received: origin=None"),
        ({"origin": "https://example.org/"}, "give fname=.*Received: origin='https://example.org/'"),
        ({"origin": "example.org/a.zip"}, "an address begins with https.*Received: origin='example.org/a.zip'"),
        ({"origin": "https://e.org/a", "fname": "a/b"}, "cache_subdir=. Received: fname='a/b'"),
        ({"origin": "https://e.org/a", "file_hash": "12"}, "64 hexadecimal digits.*Received: file_hash='12'"),
        ({"origin": "https://e.org/a", "file_hash": 12}, "64 hexadecimal digits.*Received: file_hash=12"),
        ({"origin": "https://e.org/a", "fname": ".."}, "give fname=.*Received"),
        ({"origin": Path("a.zip")}, "the address of the file. Received: origin="),
        ({"origin": "ftp://e.org/a"}, "an address begins with https.*Received: origin='ftp://e.org/a'"),
        ({"origin": "https://e.org/a", "hash_algorithm": "crc"}, "one of 'auto', 'md5', 'sha256'"),
    ],
)
def test_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        get_file(**options)


# ------------------------------------------------------------------------------------------------------- applications


def test_weights_of_imagenet_are_downloaded(monkeypatch, tmp_path):
    """From the address and with the hash that Keras 3.15 has in its sources."""
    asked = []
    monkeypatch.setattr(_published, "get_file", lambda *a, **k: asked.append((a, k)) or str(tmp_path / "w.h5"))
    model = applications.VGG16(weights=None, include_top=False)
    model.save(tmp_path / "w.h5")
    loaded = applications.VGG16(include_top=False)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    name = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    origin = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{name}"
    assert asked == [((name, origin), {"file_hash": "6d6bbae143d832006294945121d1f1fc", "cache_subdir": "models"})]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: applications.VGG16(classes=10), "are for 1000 classes and a softmax.*Received: classes=10"),
        (lambda: applications.ResNet50(classifier_activation="relu"), "classifier_activation='relu'"),
        (lambda: applications.VGG16(input_shape=(100, 100, 3)), r"\(224, 224, 3\) with the top.*\(100, 100, 3\)"),
        (lambda: applications.EfficientNetB0(include_top=False, input_shape=(64, 64, 1)), "3 channels.*64, 64, 1"),
        (lambda: applications.MobileNetV3Small(alpha=0.5), "some sizes of this network alone.*small_224_0.5"),
        (lambda: applications.MobileNetV2(alpha=0.6, include_top=False), "some sizes.*kernels_0.6_224_no_top.h5"),
        (lambda: applications.MobileNet(alpha=0.6), "some sizes.*mobilenet_0.6_224_tf.h5"),
    ],
)
def test_what_does_not_fit_is_not_downloaded(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_without_a_network():
    with pytest.raises(DataError, match=r"cannot be downloaded.*weights=None makes the network with random weights"):
        applications.VGG16()


NAMES = {  # as real Keras asks for them
    "nasnet_mobile_no_top.h5": "tensorflow/keras-applications/nasnet/NASNet-mobile-no-top.h5",
    "mobilenet_1_0_224_tf_no_top.h5": "tensorflow/keras-applications/mobilenet/mobilenet_1_0_224_tf_no_top.h5",
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5": "tensorflow/keras-applications/mobilenet_v2/"
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5",
    "efficientnetb0.h5": "keras-applications/efficientnetb0.h5",
    "convnext_tiny_notop.h5": "tensorflow/keras-applications/convnext/convnext_tiny_notop.h5",
}


@pytest.mark.parametrize("name", NAMES)
def test_addresses(monkeypatch, name):
    monkeypatch.setattr(_published, "get_file", lambda name, origin, **options: origin)
    assert _published.imagenet_file(name) == f"https://storage.googleapis.com/{NAMES[name]}"


def test_hashes_are_hashes():
    for folder, digits in _published._published().values():
        assert folder.endswith("/") and len(digits) in _downloads._LENGTHS
        int(digits, 16)


def test_names_of_classes(monkeypatch, tmp_path):
    path = tmp_path / "imagenet_class_index.json"
    path.write_text(json.dumps({str(i): [f"n{i}", f"name {i}"] for i in range(1000)}))
    monkeypatch.setattr(_published, "get_file", lambda *a, **k: str(path))
    rows = np.eye(1000, dtype="float32")[[5, 7]]
    found = applications.mobilenet_v2.decode_predictions(rows, top=1)
    assert [row[0] for row in found] == [("n5", "name 5", 1.0), ("n7", "name 7", 1.0)]
