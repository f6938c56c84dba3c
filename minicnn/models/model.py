"""The model: a graph of layers that can be trained."""

from collections import Counter

from minicnn import backends, random
from minicnn.callbacks import BackupAndRestore, CallbackList, History, listed, progress
from minicnn.checks import check_positive_int
from minicnn.errors import NotBuiltError, NotCompiledError, ShapeError, unknown_name
from minicnn.graph import Graph, Tensor
from minicnn.layers.base import Layer
from minicnn.layers.names import unique_name
from minicnn.models.files import Persistent
from minicnn.models.summary import summary_text
from minicnn.parameters import check_one_dtype
from minicnn.threads import compute_threads
from minicnn.training import compiled, evaluation, loop, sources
from minicnn.training.device_engine import DeviceEngine
from minicnn.training.engine import Engine

BATCH_SIZE = 32  # where none is given, as in Keras


class Model(Persistent, Layer):
    """A model from its inputs and outputs (Keras's functional form).

    Parameters
    ----------
    inputs, outputs : Tensor, or list of them
        What `Input` and calls of layers returned.
    name : str, optional

    Attributes
    ----------
    inputs, outputs : tuple of Tensor
    layers : list of Layer
    history : History
        Of the last `fit`, also when it was interrupted.
    stop_training : bool
        A callback that sets it ends `fit` after the batch.

    Raises
    ------
    ValueError
        If an output does not depend on the inputs alone.
    """

    input_count = None

    def __init__(self, inputs=None, outputs=None, name=None):
        if inputs is None or outputs is None:
            raise TypeError(
                "Model needs inputs= and outputs=, tensors from Input and layer calls; use Sequential for a stack. "
                "Models as subclasses with a call method are not supported"
            )
        self._setup(name or None, "Functional")
        self.graph = Graph(_tensors("inputs", inputs), _tensors("outputs", outputs))
        self._check_layers()

    def _setup(self, name, default_name):
        """What all models start with."""
        super().__init__(name=name or unique_name(default_name))
        self.compiled = None
        self.history = None
        self.stop_training = False
        self.seed = random.next_seed()
        self.epochs_trained = 0
        self._warned = False
        self._engine = None

    # ------------------------------------------------------------------------------------------------- structure

    @property
    def built(self) -> bool:
        """Whether the shapes are known, so that weights exist."""
        return self.graph is not None

    @property
    def inputs(self):
        return self._built_graph().inputs

    @property
    def outputs(self):
        return self._built_graph().outputs

    @property
    def input(self):
        return self.inputs[0] if len(self.inputs) == 1 else list(self.inputs)

    @property
    def output(self):
        return self.outputs[0] if len(self.outputs) == 1 else list(self.outputs)

    @property
    def input_shape(self):
        """Shape of the input with the batch axis, which is None; a list for several inputs."""
        return _one_or_list([t.shape for t in self.inputs])

    @property
    def output_shape(self):
        """Shape of the output with the batch axis, which is None; a list for several outputs."""
        return _one_or_list([t.shape for t in self.outputs])

    @property
    def output_names(self):
        """Names of the layers that give the outputs; a repeated one is numbered."""
        names = [t.name for t in self.outputs]
        return [n if names.index(n) == i else f"{n}_{names[:i].count(n)}" for i, n in enumerate(names)]

    @property
    def layers(self):
        return self._built_graph().layers

    @property
    def acts_on_arrays(self) -> bool:
        """Whether the model is nothing but augmentation: called on arrays, it augments them, as in Keras."""
        layers = [layer for layer in self.layers if layer.input_count != 0]
        return bool(layers) and all(layer.acts_on_arrays for layer in layers)

    def _built_graph(self) -> Graph:
        if self.graph is None:
            raise NotBuiltError(
                f"model '{self.name}' is not built, because its input shape is not known: start with Input(shape=…), "
                "give its first layer input_shape=…, or call build or fit first"
            )
        return self.graph

    def _check_layers(self):
        """Layer names must differ, since files and `get_layer` go by them; weights must be of one dtype."""
        names = [layer.name for layer in self.layers]
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        if repeated:
            raise ValueError(f"the layers of a model need different names. Received: {repeated} more than once")
        check_one_dtype(self.weights)

    def get_layer(self, name=None, index=None):
        """The layer of that name, or at that position in `layers`.

        Raises
        ------
        ValueError
            If there is none.
        """
        if (name is None) == (index is None):
            raise ValueError(f"get_layer takes a name or an index. Received: name={name!r}, index={index!r}")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"model '{self.name}' has {len(self.layers)} layers. Received: index={index}")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise unknown_name(f"layer of model '{self.name}'", name, [layer.name for layer in self.layers])

    @property
    def weights(self):
        """All weights, in Keras's order: layer by layer, each one's trainable ones first."""
        layers = self.graph.layers if self.graph is not None else []
        return list(dict.fromkeys(w for layer in layers for w in layer.weights))

    @property
    def trainable(self):
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._trainable = bool(value)
        for layer in self._own_layers():
            layer.trainable = self._trainable

    def _own_layers(self):
        """The layers there are, also before the model is built."""
        return [] if self.graph is None else self.graph.layers

    def build(self, input_shape=None):
        """Does nothing: a functional model is built from the start."""

    def build_for(self, input_shapes):
        """Called on tensors: check the shapes; returns the output shapes."""
        expected = tuple(t.shape[1:] for t in self.inputs)
        if tuple(input_shapes) != expected:
            raise ShapeError(f"model '{self.name}' takes inputs of shapes {expected}. Received: {tuple(input_shapes)}")
        return [t.shape[1:] for t in self.outputs]

    def summary(self, line_length=None, expand_nested=False, print_fn=print):
        """Print a table of the layers, their output shapes and their numbers of parameters.

        Parameters
        ----------
        line_length :
            Accepted for Keras's sake; columns are as wide as they need to be.
        expand_nested : bool
            Whether the layers of models used as layers are listed too.
        print_fn : callable
            Takes the text.
        """
        print_fn(summary_text(self, expand_nested))

    def __repr__(self):
        return f"<{type(self).__name__} '{self.name}', {'built' if self.built else 'not built'}>"

    # ---------------------------------------------------------------------------------------------------- compile

    def compile(self, optimizer="rmsprop", loss=None, metrics=None, loss_weights=None, backend=None):
        """Choose how to train.

        Parameters
        ----------
        optimizer : str or Optimizer, default "rmsprop"
        loss : str, Loss, or a list or dict of them by output name
        metrics : list, optional
            Names such as "accuracy", or Metric objects; a list of lists or a dict for several outputs.
        loss_weights : list or dict of float, optional
            Factors of the outputs' losses in the total.
        backend : {"numba", "numpy", "cupy"}, optional
            Default: the one that is current when the model runs, see `minicnn.set_backend`.

        Raises
        ------
        ValueError, TypeError
            For unknown names (with the nearest valid one) and wrong numbers of entries.
        """
        if backend is not None:
            backends.get(backend)
        previous = self.compiled
        self.compiled = compiled.check_compile_arguments(self, optimizer, loss, metrics, loss_weights, backend)
        if self._engine is not None:
            goes_on = previous is not None and previous.optimizer is self.compiled.optimizer
            self._engine = self._engine.renewed(keeps_state=goes_on)
        self._warned = False
        self._warn_once()

    def _warn_once(self):
        """Say once per compile what is surprising about the losses; needs the outputs."""
        if self.built and not self._warned:
            self._warned = True
            compiled.warn_about_logits(self)

    @property
    def optimizer(self):
        return self._need_compiled().optimizer

    @property
    def loss(self):
        """The loss, or a list of them."""
        return _one_or_list(self._need_compiled().losses)

    def _need_compiled(self):
        if self.compiled is None:
            raise NotCompiledError(
                f"model '{self.name}' is not compiled: call compile(optimizer='adam', "
                "loss='sparse_categorical_crossentropy', metrics=['accuracy']) first"
            )
        return self.compiled

    @property
    def engine(self):
        """What runs this model on the backend that is current."""
        name = None if self.compiled is None else self.compiled.backend_name
        backend = backends.get(name)
        if self._engine is None or self._engine.backend is not backend:
            engine_class = DeviceEngine if backend.on_device else Engine
            previous, self._engine = self._engine, engine_class(self, backend)
            self._engine.take_over(previous)
        self._engine.prepare()
        return self._engine

    def training_engine(self):
        """The `engine`, with the weights taken over so that it can train them."""
        engine = self.engine
        engine.prepare(trains=True)
        return engine

    def next_epoch_generator(self):
        """The generator that shuffles the next epoch: a function of the seed and of the epochs trained so far."""
        self.epochs_trained += 1
        return random.generator(self.seed, "shuffle", self.epochs_trained)

    # ------------------------------------------------------------------------------------------------------- train

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
        resume=None,
    ):
        """Train.

        Parameters
        ----------
        x : array (N, …), list or dict of arrays, generator or Sequence
            Any real or bool dtype; cast batch by batch and never modified. A generator yields (x, y) or
            (x, y, sample_weight); a Sequence has ``len()`` and returns such batches from ``[i]``.
        y : array, list or dict of arrays
            What the losses compare the outputs with.
        batch_size : int, default 32
        epochs : int, default 1
        verbose : {"auto", 0, 1, 2}
            0 shows nothing, 1 a progress bar on a terminal, 2 a line an epoch; "auto" is 1.
        callbacks : Callback or list of Callback, optional
        validation_split : float in [0, 1)
            The last part of the data, before shuffling, is held back for validation.
        validation_data : (x, y) or (x, y, sample_weight), generator or Sequence, optional
        shuffle : bool, default True
            Whether each epoch takes the samples (a Sequence's batches) in a new order.
        class_weight : dict, optional
            Class number → weight of its samples in the loss.
        sample_weight : array (N,), optional
            Weight of each sample in the loss.
        initial_epoch : int, default 0
            Number of the first epoch, for a training that goes on.
        steps_per_epoch, validation_steps : int, optional
            Batches to take of a generator.
        validation_batch_size : int, optional
            Default: `batch_size`.
        validation_freq : int, default 1
            Validate after every so many epochs.
        resume : str or path-like, optional
            A folder for this training's checkpoint, written after every epoch: if there is one, the training goes on
            from there. See `callbacks.BackupAndRestore`.

        Returns
        -------
        History

        Raises
        ------
        NotCompiledError
            Before `compile`.
        ShapeError, DataError, ValueError, TypeError
            If the data does not fit, before anything is trained.
        NonFiniteError
            If the loss becomes NaN or infinite; the weights are those before the bad step.
        """
        self._need_compiled()
        epochs = check_positive_int("epochs", epochs)
        check_positive_int("initial_epoch", initial_epoch, minimum=0)
        check_positive_int("validation_freq", validation_freq)
        for argument, value in (("steps_per_epoch", steps_per_epoch), ("validation_steps", validation_steps)):
            if value is not None:
                check_positive_int(argument, value)
        callbacks = listed(callbacks)
        bars = progress(verbose)
        x = self._build_from_data(x)
        self._warn_once()
        source, held_back = self._training_source(
            x, y, batch_size, sample_weight, class_weight, validation_split, validation_data, steps_per_epoch
        )
        validation = held_back
        if validation_data is not None:
            size = validation_batch_size or batch_size
            validation = self._evaluation_source(
                *sources.unpack_validation(validation_data), size, validation_steps, "validation y"
            )
        history = History()
        backup = [] if resume is None else [BackupAndRestore(resume, delete_checkpoint=False)]
        run = CallbackList([*callbacks, *bars, history, *backup], self, _params(source, batch_size, epochs))
        self.history = history
        with compute_threads(self.engine.backend):
            loop.run_epochs(self, source, validation, run, epochs, initial_epoch, shuffle, validation_freq)
        return self.history

    def _build_from_data(self, x):
        """Hook for models that learn their input shape from the data; returns the data."""
        return x

    def _training_source(self, x, y, batch_size, weight, class_weight, fraction, validation_data, steps):
        """(source for training, source for validation or None)."""
        if sources.is_stream(x):
            if fraction or y is not None or weight is not None:
                raise ValueError("a generator or Sequence gives targets and weights itself, and cannot be split")
            return sources.StreamSource(x, lambda *item: self._batch(*item, class_weight), steps), None
        batch_size = BATCH_SIZE if batch_size is None else check_positive_int("batch_size", batch_size)
        inputs, targets, weight = self._checked(x, y, weight)
        count, held_back = len(inputs), None
        if fraction and validation_data is None:
            parts = sources.split_validation([*inputs, *targets, weight], fraction)
            (*train, weight), (*held_back, held_weight) = parts
            inputs, targets = train[:count], train[count:]
            held_back = sources.ArraySource(held_back[:count], held_back[count:], held_weight, batch_size)
        weight = sources.sample_weights(
            weight, class_weight, targets, len(inputs[0])
        )  # class weights are for training only
        return sources.ArraySource(inputs, targets, weight, batch_size, steps), held_back

    def _checked(self, x, y, weight, class_weight=None, argument="y"):
        """(inputs, targets, weights), checked against the model."""
        inputs = sources.match_inputs(x, self.inputs, self.name)
        targets = sources.check_targets(self, y, len(inputs[0]), argument)
        return inputs, targets, sources.sample_weights(weight, class_weight, targets, len(inputs[0]))

    def _batch(self, x, y, weight=None, class_weight=None):
        """A checked batch from arrays."""
        inputs, targets, weight = self._checked(x, y, weight, class_weight)
        return sources.Batch(inputs, targets, weight, None, len(inputs[0]))

    def _evaluation_source(self, x, y, weight, batch_size, steps, argument="y"):
        if sources.is_stream(x):
            return sources.StreamSource(x, self._batch, steps)
        batch_size = BATCH_SIZE if batch_size is None else check_positive_int("batch_size", batch_size)
        inputs, targets, weight = self._checked(x, y, weight, None, argument)
        return sources.ArraySource(inputs, targets, weight, batch_size, steps)

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
    ):
        """Loss and metrics on data, with the model as in use: no dropout, no change.

        Parameters
        ----------
        x, y, batch_size, sample_weight :
            As for `fit`.
        verbose : {"auto", 0, 1, 2}
            0 prints nothing, anything else one line.
        steps : int, optional
            Batches to take of a generator.
        callbacks : Callback or list of Callback, optional
            Their methods `on_test_…` are called.
        return_dict : bool
            Whether to return a dict by name.

        Returns
        -------
        list of float
            [loss, metrics…]; the loss alone if there are no metrics.
        """
        self._need_compiled()
        x = self._build_from_data(x)
        source = self._evaluation_source(x, y, sample_weight, batch_size, steps)
        run = CallbackList(listed(callbacks), self, _params(source, batch_size))
        with compute_threads(self.engine.backend):
            logs = evaluation.evaluate_source(self, source, run)
        if verbose:
            print(" - ".join(f"{name}: {value:.4f}" for name, value in logs.items()), flush=True)
        return logs if return_dict else _one_or_list(list(logs.values()))

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """The outputs for data, computed batch by batch.

        Parameters
        ----------
        x, batch_size :
            As for `fit`.
        verbose :
            Accepted for Keras's sake: nothing is printed.
        steps : int, optional
            Batches to take of a generator.
        callbacks : Callback or list of Callback, optional
            Their methods `on_predict_…` are called.

        Returns
        -------
        array (N, …), or a list of them for several outputs
        """
        x = self._build_from_data(x)
        if sources.is_stream(x):
            source = sources.StreamSource(x, self._inputs_only, steps)
        else:
            inputs = sources.match_inputs(x, self.inputs, self.name)
            batch_size = BATCH_SIZE if batch_size is None else check_positive_int("batch_size", batch_size)
            source = sources.ArraySource(inputs, [], None, batch_size, steps)
        run = CallbackList(listed(callbacks), self, _params(source, batch_size))
        with compute_threads(self.engine.backend):
            return _one_or_list(evaluation.predict_source(self, source, run))

    def _inputs_only(self, x, y=None, weight=None):
        inputs = sources.match_inputs(x, self.inputs, self.name)
        return sources.Batch(inputs, [], None, None, len(inputs[0]))

    def predict_on_batch(self, x):
        """The outputs for one batch; see `predict`."""
        return self.call_on_arrays(list(x) if isinstance(x, list | tuple) and len(self.inputs) > 1 else [x])

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One training step.

        Returns
        -------
        list of float
            [loss, metrics…] of the batch before the step; the loss alone if there are no metrics.
        """
        self._need_compiled()
        x = self._build_from_data(x)
        self._warn_once()
        batch = self._batch(x, y, sample_weight, class_weight)
        engine = self.training_engine()
        with compute_threads(engine.backend):
            totals = engine.totals(batch.targets)
            loss, bound = engine.train_batch(batch, totals)
            engine.check_finite(loss, bound, 0, 0)
            logs = totals.logs()
        return logs if return_dict else _one_or_list(list(logs.values()))

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Loss and metrics of one batch; see `evaluate`."""
        return self.evaluate(x, y, len(x), 0, sample_weight, return_dict=return_dict)

    def gradients(self, x, y, sample_weight=None):
        """The gradient of the loss by every trainable weight, for one batch; the model does not change.

        Parameters
        ----------
        x, y, sample_weight :
            As for `train_on_batch`.

        Returns
        -------
        dict
            "layer name/weight name" → array of the weight's shape.
        """
        self._need_compiled()
        x = self._build_from_data(x)
        batch = self._batch(x, y, sample_weight)
        engine = self.training_engine()
        with compute_threads(engine.backend):
            gradients = engine.weight_gradients(batch)
        return {path: gradients[w] for path, w in self.named_weights().items() if w.trainable}

    def call_on_arrays(self, arrays, training=False):
        """The outputs for arrays, at once; see `predict`."""
        x = self._build_from_data(arrays if len(arrays) > 1 else arrays[0])
        inputs = sources.match_inputs(x, self.inputs, self.name)
        batch = sources.Batch(inputs, [], None, None, len(inputs[0]))
        engine = self.training_engine() if training else self.engine
        with compute_threads(engine.backend):
            outputs = engine.predict_batch(batch, training)
            return _one_or_list([engine.backend.to_host(o) for o in outputs])


def _params(source, batch_size, epochs=1) -> dict:
    """What callbacks are told of the run; see `Callback.params`."""
    size = batch_size or BATCH_SIZE
    return {"epochs": epochs, "steps": source.steps, "samples": source.samples, "batch_size": size}


def _tensors(argument, value):
    """A tuple of tensors from one or several."""
    tensors = tuple(value) if isinstance(value, list | tuple) else (value,)
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{argument} holds tensors from Input and layer calls. Received: {tensor!r}")
    if not tensors:
        raise ValueError(f"{argument} needs at least one tensor. Received: none")
    return tensors


def _one_or_list(values):
    """The only entry, or the list."""
    return values[0] if len(values) == 1 else values


def warmup(model, batch_size=BATCH_SIZE):
    """Compile, or load from the disk cache, every kernel that training and using a model needs.

    One training step and one evaluation run on made-up data; weights, optimizer and random position are as before
    afterwards.

    Parameters
    ----------
    model : Model
        Built and compiled.
    batch_size : int, default 32
    """
    model._need_compiled()
    count = check_positive_int("batch_size", batch_size)
    engine = model.training_engine()
    with compute_threads(engine.backend):
        engine.rehearse(count)
