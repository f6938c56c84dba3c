"""A model's structure as plain data, and its way into files and back."""

import weakref

import numpy as np

from minicnn import metrics, optimizers, saving
from minicnn.callbacks import History
from minicnn.checks import is_integer
from minicnn.errors import FileFormatError, NonFiniteError
from minicnn.models import config as configs
from minicnn.parameters import weights_from_file
from minicnn.registry import custom_object_scope, to_plain
from minicnn.saving.files import named_in_errors, read_json, write_json
from minicnn.saving.snapshot import Snapshot
from minicnn.settings import floatx, floatx_of


class Persistent:
    """What `Model` inherits: `get_config`, `to_json`, `save`, `save_weights`, `load_weights`.

    Attributes
    ----------
    saved_as : str
        Name of the class in configs, Keras's.
    """

    saved_as = "Functional"

    # ------------------------------------------------------------------------------------------------- structure

    def get_config(self) -> dict:
        """The model's structure, in Keras 3's form; `from_config` makes a model with new weights from it."""
        with configs.sharing():
            return self._own_config() | configs.graph_config(self._built_graph())

    def _own_config(self) -> dict:
        return {"name": self.name, "trainable": self.trainable, "dtype": configs.dtype_of(self)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """A new model from what `get_config` returned.

        Parameters
        ----------
        config : dict
        custom_objects : dict, optional
            Class name → class, for layers of one's own.

        Raises
        ------
        ValueError, TypeError
            If the config does not describe a model.
        """
        with custom_object_scope(custom_objects), configs.sharing(), floatx_of(config.get("dtype", floatx())):
            return cls._restore_trainable(cls._made_from(config), config)

    @classmethod
    def _made_from(cls, config):
        """Hook: the model of a config."""
        inputs, outputs = configs.graph_from_config(config)
        return cls(inputs, outputs, name=config.get("name"))

    @staticmethod
    def _restore_trainable(model, config):
        """Set the model's own flag; its layers have theirs."""
        model._trainable = bool(config.get("trainable", True))
        return model

    def to_json(self, **kwargs) -> str:
        """The model's structure as JSON text; see `minicnn.models.model_from_json`.

        Parameters
        ----------
        **kwargs
            For `json.dumps`, e.g. ``indent=2``.
        """
        return write_json(model_config(self), **kwargs)

    @staticmethod
    def from_json(json_string, custom_objects=None):
        """The same as `minicnn.models.model_from_json`."""
        return model_from_json(json_string, custom_objects)

    def named_weights(self) -> dict:
        """ "layer/weight" → Weight; layers of a model used as a layer as "model/layer/weight"."""
        named = {}
        for layer in self.layers:
            if layer.graph is not None:
                named |= {f"{layer.name}/{path}": w for path, w in layer.named_weights().items()}
            else:
                named |= {w.path: w for w in layer.weights}
        return named

    # ----------------------------------------------------------------------------------------------------- files

    def save(self, filepath, overwrite=True, include_optimizer=True) -> None:
        """Write the model to a file: structure, weights, compile arguments, optimizer state, history, random position.

        The file appears whole or not at all; a previous one stays until then. See docs/files.md.

        Parameters
        ----------
        filepath : str or path-like
            Its suffix decides the format: ".safetensors" is minicnn's own, which keeps everything; ".keras" and ".h5"
            are Keras's.
        overwrite : bool, default True
        include_optimizer : bool, default True
            Whether the optimizer's state is written, which can take more room than the weights.

        Raises
        ------
        ValueError
            For an unknown suffix.
        NotBuiltError
            If the model has no weights yet.
        FileExistsError
            If there is a file and `overwrite` is False.
        NonFiniteError
            If a weight holds NaN or infinite values.
        """
        snapshot = self.snapshot()
        if not include_optimizer:
            snapshot.optimizer = None
        self._write(filepath, snapshot, overwrite)

    def save_weights(self, filepath, overwrite=True) -> None:
        """Write the weights alone; arguments and errors as for `save`, the suffix ".weights.h5" besides."""
        self._write(filepath, Snapshot(self._finite_weights(), model_config(self), weights_only=True), overwrite)

    @staticmethod
    def _write(filepath, snapshot, overwrite):
        path = saving.files.checked_path(filepath)
        if not overwrite and path.exists():
            raise FileExistsError(f"there is a file already, and overwrite=False. Received: {str(path)!r}")
        saving.write(path, snapshot)

    def load_weights(self, filepath, skip_mismatch=False) -> None:
        """Read weights from a file of any format; of a whole model's file, the weights alone.

        Weights go by their names, "conv2d/kernel"; the numbers at the ends of layers' names may differ if all else
        agrees. Keras's formats go by structure.

        Parameters
        ----------
        filepath : str or path-like
        skip_mismatch : bool, default False
            Only False: nothing is loaded unless everything fits.

        Raises
        ------
        FileFormatError
            If a weight is missing, left over or of another shape, and if the file is damaged; the model is as before.
        """
        if skip_mismatch:
            raise ValueError(
                "weights that do not fit are never skipped: read the file with another model of the file's structure, "
                "and copy layer by layer with set_weights. Received: skip_mismatch=True"
            )
        with saving.open_file(filepath) as file:
            self._assign(self._read_weights(file))

    def snapshot(self) -> Snapshot:
        """The model at this moment, for `minicnn.saving`; the arrays are copies."""
        weights = self._finite_weights()
        history = None
        if self.history is not None:
            history = to_plain(self.history.get_state())
        training = {"seed": self.seed, "epochs_trained": self.epochs_trained, "history": history}
        config = model_config(self)
        if self.compiled is None:
            return Snapshot(weights, config, training=training)
        training |= {"calls": self.engine.calls, "trainable": [layer.trainable for layer in _all_layers(self)]}
        return Snapshot(weights, config, self._compile_config(), self._optimizer_snapshot(), training)

    def _finite_weights(self):
        self._built_graph()  # raises NotBuiltError
        arrays = {name: w.numpy() for name, w in self._unique_weights().items()}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise NonFiniteError(f"weight '{name}' holds NaN or infinite values: a file of them would be of no use")
        return arrays

    def _unique_weights(self):
        """As `named_weights`, each weight once: a layer may be reached in several ways."""
        names = {}
        for name, weight in self.named_weights().items():
            names.setdefault(weight, name)
        return {names[w]: w for w in self.weights}

    def _compile_config(self):
        compiled = self.compiled
        return {
            "optimizer": to_plain(compiled.optimizer),
            "loss": [to_plain(loss) for loss in compiled.losses],
            "loss_weights": list(compiled.loss_weights),
            "metrics": [
                [m if isinstance(m, str) else to_plain(metrics.get(m)) for m in wanted] for wanted in compiled.metrics
            ],
        }

    def _optimizer_snapshot(self):
        state = self.engine.state_by_weight()
        if state is None:
            return None
        names = {w: name for name, w in self._unique_weights().items()}
        slots = {slot: {names[w]: array for w, array in arrays.items()} for slot, arrays in state.items()}
        return {"iterations": self.compiled.optimizer.iterations, "slots": slots}

    # --------------------------------------------------------------------------------------------------- restore

    def restore(self, file) -> None:
        """Go on where the model was when `file`, of a model like this one, was written; see `load_model` for a new one.

        Parameters
        ----------
        file : saving.snapshot.Reader

        Raises
        ------
        FileFormatError, ValueError
            If the file is of another model or optimizer; the model is as before.
        """
        saved, own = file.compile["optimizer"], type(self.optimizer).__name__
        if saved["class_name"] != own:
            raise ValueError(
                f"the file's optimizer is {saved['class_name']}: compile the model as it was then. Received: {own}"
            )
        arrays, state = self._read_weights(file), self._read_optimizer(file)
        self._assign(arrays)
        self._set_optimizer(state)
        if isinstance(saved["config"]["learning_rate"], float):  # a callback may have changed it
            self.optimizer.learning_rate = saved["config"]["learning_rate"]
        for layer, flag in zip(_all_layers(self), file.training["trainable"], strict=True):
            setattr(layer, "_trainable" if isinstance(layer, Persistent) else "trainable", bool(flag))
        self._restore_training(file.training)

    def _read_weights(self, file):
        shapes = {name: w.shape for name, w in self._unique_weights().items()}
        return file.weights(shapes, model_config(self))

    def _read_optimizer(self, file):
        """The optimizer's state by weights' names, or None."""
        shapes = {name: w.shape for name, w in self._unique_weights().items() if w.has_gradient}
        return file.optimizer(self.optimizer.slots, shapes, model_config(self))

    def _assign(self, arrays):
        weights = self._unique_weights()
        for name, weight in weights.items():
            weight.check(arrays[name])
            if arrays[name].dtype.itemsize > weight.dtype.itemsize:
                with np.errstate(over="ignore"):
                    arrays[name] = arrays[name].astype(weight.dtype)
                if not np.isfinite(arrays[name]).all():
                    raise FileFormatError(f"weight '{name}' holds numbers that are too large for {weight.dtype}")
        for name, weight in weights.items():
            weight.assign(arrays[name])

    def _set_optimizer(self, state):
        if state is not None:
            weights = self._unique_weights()
            slots = {slot: {weights[n]: a for n, a in arrays.items()} for slot, arrays in state["slots"].items()}
            self.engine.set_state(slots)
            self.optimizer.iterations, self.optimizer.owner = state["iterations"], weakref.ref(self)

    def _compile_from(self, config):
        """`compile` with what `_compile_config` wrote."""
        one = len(config["loss"]) == 1
        try:
            own = [[m if isinstance(m, str) else metrics.get(m) for m in wanted] for wanted in config["metrics"]]
            self.compile(
                optimizer=optimizers.get(config["optimizer"]),
                loss=config["loss"][0] if one else config["loss"],
                metrics=own[0] if one else own,
                loss_weights=config.get("loss_weights"),
            )
        except ValueError as error:
            if not str(error).startswith("Unknown"):
                raise
            hint = "a class of one's own is given with custom_objects=, and compile=False leaves all this out"
            raise ValueError(f"{error}; {hint}") from None

    def _restore_training(self, training):
        """Take over the random numbers' position."""
        names = ("seed", "epochs_trained", "calls")
        numbers = {name: training[name] for name in names if training.get(name) is not None}
        for name, value in numbers.items():
            if not is_integer(value) or not 0 <= value < 2**63:
                raise FileFormatError(f"'{name}' is a number from 0 to 2**63 - 1. Received: {str(value)[:100]}")
        if self._engine is not None and numbers.get("seed", self.seed) != self.seed:
            self._engine = self._engine.renewed(keeps_state=True)  # its plans have the old seed
        self.seed = numbers.get("seed", self.seed)
        self.epochs_trained = numbers.get("epochs_trained", self.epochs_trained)
        if self.compiled is not None:
            self.engine.calls = numbers.get("calls", 0)


# ------------------------------------------------------------------------------------------------------ functions


def model_config(model) -> dict:
    """A model as ``{"class_name", "config"}``."""
    return {"class_name": model.saved_as, "config": model.get_config()}


def model_from_config(config, custom_objects=None):
    """The model, with new weights, that `model_config` described.

    Raises
    ------
    ValueError, TypeError
        If it is not a model's.
    """
    with custom_object_scope(custom_objects), configs.sharing():
        model = configs.layer_from_config(config)
    if not isinstance(model, Persistent):
        raise ValueError(f"expected the config of a model. Received: that of a {type(model).__name__}")
    configs.check_calls(model)
    return model


def model_from_json(json_string, custom_objects=None):
    """The model, with new weights, that `Model.to_json` described.

    Parameters
    ----------
    json_string : str
    custom_objects : dict, optional
        Class name → class: layers, initializers, … of one's own, unless they are registered (`layers.register`).

    Raises
    ------
    FileFormatError
        If the text does not describe a model.
    """
    with custom_object_scope(custom_objects), named_in_errors("the JSON text"):
        return model_from_config(read_json(json_string))


def clone_model(model):
    """A model of the same structure and names, with new weights, not compiled."""
    own = {type(layer).__name__: type(layer) for layer in _all_layers(model) if not isinstance(layer, Persistent)}
    return model_from_config(model_config(model), own)


def _all_layers(model):
    """The layers of a model and of the models in it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, Persistent):
            yield from _all_layers(layer)


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """The model that a file holds, ready to go on training where it was.

    Classes are looked up by name among the library's own, those registered with `layers.register` and its like, and
    `custom_objects`; nothing is imported or executed from a file. See docs/files.md.

    Parameters
    ----------
    filepath : str or path-like
        A file that `Model.save` or Keras has written; the suffix decides the format.
    custom_objects : dict, optional
        Class name → class of layers, losses, metrics, … of one's own.
    compile : bool, default True
        Whether to compile the model as it was, and to take over the optimizer's state.
    safe_mode : bool
        Only True, Keras's default.

    Raises
    ------
    FileFormatError
        If the file is damaged, not what its suffix says, from a newer version, or names a class that is not known.
    ValueError
        For an unknown suffix.
    OSError
        If the file cannot be read.
    """
    if safe_mode is not True:
        raise ValueError(f"files are never trusted: safe_mode=True. Received: safe_mode={safe_mode!r}")
    with custom_object_scope(custom_objects), saving.open_file(filepath) as file, named_in_errors(filepath):
        if file.config is None:
            raise FileFormatError("the file holds weights alone: build the model and call load_weights")
        with weights_from_file(file.numbers):
            model = model_from_config(file.config)
        if model.built:
            model._assign(model._read_weights(file))
        if compile and file.compile is not None:
            model._compile_from(file.compile)
            if model.built:
                model._set_optimizer(model._read_optimizer(file))
        model._restore_training(file.training)
        if file.training.get("history") is not None:
            model.history = History()
            model.history.set_state(file.training["history"])
    return model
