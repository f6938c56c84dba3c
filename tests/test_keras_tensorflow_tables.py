"""``tf.io.decode_csv`` and ``CsvDataset``: what TensorFlow 2.21 gives for the same lines."""

import gzip

import numpy as np
import pytest

from minicnn.keras import tensorflow as tf

LINES = 'name,y,z\ncat.png,1,0.5\n"d,og",,1e2\nühm,3,\n'


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x.csv").write_text(LINES, encoding="utf-8")
    return str(tmp_path / "x.csv")


def columns(*args, **options):
    return [(x.dtype.kind, x.numpy().tolist() if x.ndim else x.numpy()) for x in tf.io.decode_csv(*args, **options)]


@pytest.mark.parametrize(
    ("line", "defaults", "options", "expected"),
    [
        ("cat,1,2.5", [[""], [0], [0.0]], {}, [b"cat", 1, 2.5]),
        ("a,", [["x"], [7]], {}, [b"a", 7]),
        (",3", ["x", 7], {}, [b"x", 3]),
        ('"a,b",1', [[""], [0]], {}, [b"a,b", 1]),
        ('"say ""x""",1', [[""], [0]], {}, [b'say "x"', 1]),
        ('"a,b"', [[""], [""]], {"use_quote_delim": False}, [b'"a', b'b"']),
        ("a;1", [[""], [0]], {"field_delim": ";"}, [b"a", 1]),
        ("a,NA", [[""], [3]], {"na_value": "NA"}, [b"a", 3]),
        ("a,1,b,2", [[""], [0]], {"select_cols": [0, 3]}, [b"a", 2]),
        ("1e3,-inf", [[0.0], [0.0]], {}, [1000, -np.inf]),
        (["a,1", "b,2"], [[""], [0]], {}, [[b"a", b"b"], [1, 2]]),
        (b"\xc3\xbc,1", [[""], [0]], {}, [b"\xc3\xbc", 1]),
    ],
)
def test_columns_of_lines(line, defaults, options, expected):
    assert [value for _, value in columns(line, defaults, **options)] == expected


def test_the_dtypes_are_those_of_the_defaults():
    made = tf.io.decode_csv(
        "5000000000,0.1,2,2", [tf.constant([0], tf.int64), tf.constant([0.0], tf.float64), [0], [0.0]]
    )
    assert [each.dtype for each in made] == ["int64", "float64", "int32", "float32"]
    assert made[1] == 0.1


@pytest.mark.parametrize(
    ("line", "defaults", "reason"),
    [
        ("a,b", [[""], [0]], "column 1 holds numbers of int32"),
        ("1.5", [[0]], "column 0 holds numbers of int32"),
        ("5000000000", [[0]], "column 0 holds numbers of int32"),
        ("a", [[""], [0]], "expected 2 entries"),
        ("a,1,2", [[""], [0]], "expected 2 entries"),
        ("a,", [[""], tf.constant([], tf.float32)], "column 1 has no default"),
    ],
)
def test_lines_that_do_not_fit_are_refused(line, defaults, reason):
    with pytest.raises(ValueError, match=f"{reason}.*Received"):
        tf.io.decode_csv(line, defaults)


def test_a_table_is_a_data_set(path, tmp_path):
    def rows(*args, **options):
        return list(tf.data.experimental.CsvDataset(*args, **options).as_numpy_iterator())

    first, second, third = rows(path, [[""], [7], [0.25]], header=True)
    assert (first, second, third) == ((b"cat.png", 1, 0.5), (b"d,og", 7, 100.0), ("ühm".encode(), 3, 0.25))
    assert [np.asarray(each).dtype for each in first[1:]] == ["int32", "float32"]
    assert len(rows([path, path], [tf.string, [7], [0.25]], header=True)) == 6
    assert rows(path, [[""], [0.0]], header=True, select_cols=[0, 2])[1] == (b"d,og", 100.0)
    assert rows(path, [[""]], header=True, exclude_cols=[1, 2])[1] == (b"d,og",)
    assert rows(path, [[""]] * 3)[0] == (b"name", b"y", b"z")
    with pytest.raises(ValueError, match="column 1 has no default"):
        rows(path, [tf.string, tf.int32, tf.float32], header=True)
    with gzip.open(tmp_path / "x.csv.gz", "wt", encoding="utf-8") as file:
        file.write(LINES)
    assert rows(str(tmp_path / "x.csv.gz"), [[""], [7], [0.25]], "GZIP", header=True)[0] == first


def test_names_and_labels_of_a_table(path):
    lines = tf.data.TextLineDataset(path).skip(1).map(lambda line: tf.io.decode_csv(line, [[""], [7], [0.25]]))
    made = lines.map(lambda name, y, z: (name == "cat.png", tf.one_hot(y, 3), z)).batch(3)
    is_cat, rows, z = next(made.as_numpy_iterator())
    assert is_cat.tolist() == [True, False, False]
    assert rows.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert z.tolist() == [0.5, 100, 0.25]


def test_a_line_of_many_columns():
    line = ",".join(map(str, range(300)))
    for default, dtype in (([0], "int32"), (0.5, "float32"), ([[0]], "int32"), (np.array([0], "int64"), "int64")):
        made = tf.io.decode_csv(line, [default] * 300)
        assert {(each.dtype.name, each.shape) for each in made} == {(dtype, ())}
        assert [int(each) for each in made] == list(range(300))


def test_an_underline_is_no_part_of_a_number():
    with pytest.raises(ValueError, match=r"column 0 holds numbers of int32.*'1_0'"):
        tf.io.decode_csv("1_0", [[0]])


TABLE = 'name,width,score,big,label\ncat,1,0.5,3000000000,0\ndog,,1e3,1,1\n"a,b",7,2,2,0\nowl,8,,3,1\n'
BY_NAME = {"name": [b"cat", b"dog", b"a,b"], "width": [1, 0, 7], "score": [0.5, 1000, 2], "big": [3000000000, 1, 2]}


@pytest.fixture
def table(tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    return str(tmp_path / "table.csv")


def test_batches_of_columns_by_name(table):
    made = tf.data.experimental.make_csv_dataset(table, 3, label_name="label", num_epochs=1, shuffle=False)
    (first, labels), (last, _) = list(made)
    assert {name: column.numpy().tolist() for name, column in first.items()} == BY_NAME
    assert labels.dtype == tf.int32 and labels.numpy().tolist() == [0, 1, 0]
    kinds = [tf.string, tf.int32, tf.float32, tf.int64]
    assert [column.dtype == kind for column, kind in zip(first.values(), kinds, strict=True)] == [True] * 4
    assert last["score"].numpy().tolist() == [0] and last["name"].numpy().tolist() == [b"owl"]


def test_batches_of_chosen_columns_go_on_without_end(table):
    made = tf.data.experimental.make_csv_dataset(table, 3, shuffle=False, select_columns=["label", 1])
    batches = [{name: column.numpy().tolist() for name, column in each.items()} for each in made.take(3)]
    assert batches == [
        {"width": [1, 0, 7], "label": [0, 1, 0]},
        {"width": [8, 1, 0], "label": [1, 0, 1]},
        {"width": [7, 8, 1], "label": [0, 1, 0]},
    ]
    shuffled = tf.data.experimental.make_csv_dataset(table, 4, num_epochs=2, shuffle_seed=1)
    assert [sorted(each["width"].numpy().tolist()) for each in shuffled] == [[0, 1, 7, 8]] * 2


def test_tables_in_another_form(tmp_path):
    for number in (1, 2):
        with gzip.open(tmp_path / f"{number}.csv.gz", "wt") as file:
            file.write(f"{number};a\nNA;b\n2.5;c\n")
    pattern = str(tmp_path / "*.csv.gz")
    names = ["x", "y"]
    made = tf.data.experimental.make_csv_dataset(
        pattern, 6, names, None, None, None, ";", True, "NA", False, 1, False, compression_type="GZIP"
    )
    (batch,) = list(made)
    assert batch["x"].numpy().tolist() == [1, 0, 2.5, 2, 0, 2.5]
    assert batch["y"].numpy().tolist() == [b"a", b"b", b"c"] * 2
    given = {"header": False, "num_epochs": 1, "shuffle": False, "field_delim": ";", "compression_type": "GZIP"}
    made = tf.data.experimental.make_csv_dataset(pattern, 1, names, ["", "z"], na_value="NA", **given)
    assert [each["x"].numpy()[0] for each in made][:3] == [b"1", b"", b"2.5"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_name": "x"}, "label_name is one of the columns"),
        ({"select_columns": ["x"]}, "select_columns has names of"),
        ({"select_columns": [5]}, "select_columns has names of"),
        ({"column_names": ["a"] * 5}, "names of columns that differ"),
        ({"header": False}, "column_names="),
        ({"ignore_errors": True}, "ignore_errors"),
        ({"compression_type": "ZLIB"}, "compression_type"),
        ({"heading": True}, "make_csv_dataset takes"),
    ],
)
def test_tables_that_are_asked_for_otherwise(table, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        tf.data.experimental.make_csv_dataset(table, 2, **options)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="which is no file's name"):
        tf.data.experimental.make_csv_dataset(str(tmp_path / "*.csv"), 2)


def test_a_model_learns_from_a_table(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(f"{n},{n / 2},{3 * n}\n" for n in range(8)))
    made = tf.data.experimental.make_csv_dataset(str(tmp_path / "t.csv"), 4, label_name="y", num_epochs=1)
    packed = made.map(lambda features, y: (tf.stack([tf.cast(x, tf.float32) for x in features.values()], axis=1), y))
    model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1)])
    model.compile("adam", "mse")
    assert len(model.fit(packed, epochs=2, verbose=0).history["loss"]) == 2


def test_tables_of_other_columns_and_lines_of_another_length_are_refused(tmp_path):
    for name, text in (("a.csv", "x,y\n1,2\n"), ("b.csv", "y,x\n1,2\n"), ("c.csv", "x,y\n1,2,3\n")):
        (tmp_path / name).write_text(text)
    read = tf.data.experimental.make_csv_dataset
    with pytest.raises(ValueError, match="the same columns"):
        read([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], 2, num_epochs=1)
    with pytest.raises(ValueError, match="2 entries in each line"):
        read(str(tmp_path / "c.csv"), 2, num_epochs=1)
