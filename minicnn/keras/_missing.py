"""What Keras has and minicnn does not, and why."""

from typing import Any, NoReturn

from minicnn.user_warnings import warn_user

_SEQUENCES = "it is for convolutional networks on images, and has no layers for sequences of words or time"
_AUGMENTATION = (
    "of the layers that change images at random there are those that flip, turn, move, shear, crop, blur, erase and "
    "mix them and change their colours, and RandAugment and AugMix of them; others go into Dataset.map or a layer of "
    "your own"
)
_TABLES = "it is for images, and has no layers for tables and categories"
_OTHERS = "it computes by itself and wraps no models of other libraries"
_GROUPS = {
    _AUGMENTATION: ("ContrastLimitedAdaptiveHistogramEqualization", "RandomElasticTransform"),
    (
        "layers that change images change no boxes beside them; tf.image has non_max_suppression, "
        "draw_bounding_boxes and their like"
    ): ("MaxNumBoundingBoxes", "bounding_boxes", "visualization"),
    "its weights are floats, and none are quantized": ("quantizers", "Quantizer"),
    'there is no SavedModel: model.export(path, format="onnx") writes ONNX': ("export", "ExportArchive"),
    f"{_TABLES}: np.digitize(x, bin_boundaries) gives the same numbers": ("Discretization",),
    f"{_TABLES}: keras.utils.to_categorical or keras.ops.multi_hot give the same rows": ("CategoryEncoding",),
    _TABLES: ("HashedCrossing", "FeatureSpace"),
    _OTHERS: (*("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper", "OrbaxCheckpoint"),),
    "it is for images: for sound there are tf.signal and tf.audio alone, in Dataset.map": (
        *("MelSpectrogram", "STFTSpectrogram", "STFT", "STFTInitializer", "stft", "audio_dataset_from_directory"),
    ),
    (
        "a model's numbers are real; Fourier transforms and complex numbers are in tf.signal and tf.math alone, for "
        "data, as in Dataset.map"
    ): (
        *("ifft", "istft", "view_as_complex", "view_as_real", "imag"),
        *("fft3d", "ifft3d", "rfft2d", "irfft2d", "rfft3d", "irfft3d", "fftnd", "ifftnd", "rfftnd", "irfftnd"),
    ),
    "this loss is for sequences, or for embeddings, which it does not train": (
        *("CTC", "ctc", "Circle", "circle", "ctc_batch_cost", "ctc_decode", "ctc_label_dense_to_sparse", "ctc_loss"),
        *("ctc_beam_search_decoder", "ctc_greedy_decoder", "ctc_loss_v2", "ctc_beam_search_decoder_v2"),
        *("ctc_unique_labels", "collapse_repeated"),
    ),
    "there is one optimizer for all weights": ("MultiOptimizer", "OptimizerMap"),
    "it belongs to Keras's own machinery": (
        *("Config", "Function", "Operation", "StatelessScope", "SymbolicScope", "RematScope"),
        *("remat", "KerasFileEditor", "result_type"),
        *("weighted_objective", "make_batches", "slice_arrays", "slice_X", "batch_shuffle"),
        *("standardize_input_data", "Container", "GraphExecutor", "tf_utils"),
    ),
    "it is for images; np.unique(names, return_inverse=True) numbers names, or a dict {name: number} does": (
        *("StringLookup", "IntegerLookup"),
    ),
    _SEQUENCES: (
        *("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM2D", "Masking"),
        *("ConvLSTM1D", "ConvLSTM3D", "SimpleRNNCell", "ReversibleEmbedding"),
        *("LSTMCell", "GRUCell", "CuDNNLSTM", "CuDNNGRU", "StackedRNNCells", "TextVectorization"),
        *("rnn", "Hashing", "text_dataset_from_directory", "skipgrams", "make_sampling_table"),
    ),
    "this layer was dropped by later Kerases": (
        *("LocallyConnected1D", "LocallyConnected2D", "ParametricSoftplus", "SReLU", "LRN2D"),
    ),
    "every worker has all weights, and a part of each batch: keras.distribution.DataParallel()": (
        *("DeviceMesh", "LayoutMap", "ModelParallel", "TensorLayout", "distribute_tensor"),
    ),
}


class NotInMinicnn(ImportError):
    """A name of Keras that minicnn does not have; an ImportError, so that ``from … import …`` shows the sentence."""


class Missing:
    """What stands for a name that minicnn does not have, as many scripts import more than they use.

    Parameters
    ----------
    name : str
    sentence : str
        What any use of it says.
    """

    def __init__(self, name: str, sentence: str) -> None:
        self.__name__ = name
        self._sentence = sentence

    def _refuse(self) -> NoReturn:
        raise NotInMinicnn(self._sentence, name=self.__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse()

    def __mro_entries__(self, bases: Any) -> NoReturn:
        self._refuse()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()

    def __instancecheck__(self, instance: object) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<{self._sentence}>"


def stand_in(name: str, sentence: str) -> Missing:
    """A `Missing`, with the sentence as a warning."""
    if sentence not in _said:
        _said.add(sentence)
        warn_user(f"{sentence}; so far it is only imported")
    return Missing(name, sentence)


_said: set[str] = set()
_REASONS = {name: why for why, names in _GROUPS.items() for name in names}


def reason(name: str) -> str | None:
    """One sentence on why minicnn does not have a name of Keras; None if it is no such name."""
    return f"minicnn has no {name}: {_REASONS[name]}" if name in _REASONS else None
