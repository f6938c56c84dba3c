"""A network, what `compile` was told about it, and the engine that runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn import backends, checks, random
from minicnn.errors import NotCompiledError
from minicnn.keywords import suggests_keywords
from minicnn.losses import Loss
from minicnn.metrics import Metric
from minicnn.models import copies
from minicnn.models.forms import Tensors
from minicnn.models.network import Network
from minicnn.optimizers import Optimizer
from minicnn.training import advice, compiled, engines, outputs
from minicnn.training.engine import Engine


class CompilableNetwork(Network):
    """A network that can be compiled, and computes batch by batch; base of the models.

    Parameters
    ----------
    inputs, outputs, name :
        As for `Network`.

    Attributes
    ----------
    compiled : Compiled or None
        What `compile` was told.
    seed : int
        Key of the random numbers: the order of the samples, dropout and the like.
    epochs_trained : int
        How many epochs were begun with shuffled samples.
    advised : set of str or None
        The advice about data that was given since `compile`; None before that about the outputs was given.
    scale_seen : list of str or None
        The scale of each input in the last `fit`, see `minicnn.training.advice`.
    has_own_steps : bool
        Whether a subclass says what an iteration is.
    """

    has_own_steps: bool = False
    _engine_for = staticmethod(engines.engine_for)  # hook: a backend → the class of the engine

    def __init__(self, inputs: Tensors, outputs: Tensors, name: str | None = None) -> None:
        super().__init__(inputs, outputs, name)
        self._start_untrained()

    def _start_untrained(self):
        """What all models start with."""
        self.compiled: compiled.Compiled | None = None
        self.epochs_trained: int = 0
        self._seed = random.next_seed()
        self.advised: set[str] | None = None
        self.scale_seen: list[str | None] = []
        self._engine = None
        self._told: tuple[Any, ...] | None = None  # the arguments of `compile`, until the outputs are known

    def __getstate__(self) -> dict[str, Any]:
        return copies.state_of(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        copies.put_state(self, state)

    @property
    def seed(self) -> int:
        """Key of the random numbers."""
        return self._seed

    @seed.setter
    def seed(self, value: int) -> None:
        if self._engine is not None and value != self._seed:
            self._engine = self._engine.renewed(keeps_state=True)  # its plans have the old seed
        self._seed = checks.check_positive_int("seed", value, minimum=0)

    # ---------------------------------------------------------------------------------------------------- compile

    @suggests_keywords
    def compile(
        self,
        optimizer: str | Optimizer | type[Optimizer] | Mapping[str, Any] = "rmsprop",
        loss: str | Loss | type[Loss] | Sequence[Any] | Mapping[str, Any] | None = None,
        metrics: Sequence[str | Metric | Sequence[str | Metric]] | Mapping[str, Any] | None = None,
        loss_weights: Sequence[float] | Mapping[str, float] | None = None,
        backend: str | None = None,
        weighted_metrics: Sequence[Any] | Mapping[str, Any] | None = None,
    ) -> None:
        """Choose how to train.

        Parameters
        ----------
        optimizer : str or Optimizer, default "rmsprop"
        loss : str, Loss, or a list or dict of them by output name
            None for an output, or a name left out: training takes no notice of it. Without any, `fit` has nothing to
            do but to make the penalties of regularizers small; `evaluate` and `predict` work.
        metrics : list, optional
            Names such as "accuracy", or Metric objects. For several outputs a list with one entry for each, a name or
            a list of them, or a dict by output name.
        loss_weights : list or dict of float, optional
            Factors of the outputs' losses in the total.
        backend : {"numba", "numpy", "cupy"}, optional
            Default: the one that is current when the model runs, see `minicnn.set_backend`.
        weighted_metrics : list or dict, optional
            As `metrics`: those in which sample weights and class weights count.

        Raises
        ------
        ValueError, TypeError
            For unknown names (with the nearest valid one) and wrong numbers of entries.
        """
        if backend is not None:
            backends.get(backend)
        previous = self.compiled
        self.compiled = compiled.check_compile_arguments(
            self, optimizer, loss, metrics, loss_weights, weighted_metrics, backend
        )
        rest = loss, metrics, loss_weights, weighted_metrics, backend
        self._told = None if self.built else (self.compiled.optimizer, *rest)
        if self._engine is not None:
            goes_on = previous is not None and previous.optimizer is self.compiled.optimizer
            self._engine = self._engine.renewed(keeps_state=goes_on)
        self.advised = self._last_totals = self._has_counted = None
        self._advise()

    def _before_training(self):
        """Refuse what cannot be trained."""
        outputs.check_there_is_a_loss(self, or_metrics=False)
        self.compiled.check_owner(self)  # compiled into two models, the first that trains has it
        self._advise()

    def _advise(self):
        """Say once per compile what is surprising about the losses; needs the outputs."""
        if self.built and self.advised is None:
            self.advised = set()
            advice.about_outputs(self)

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer that `compile` was given."""
        return self._need_compiled().optimizer

    @property
    def loss(self) -> Loss | list[Loss | None] | None:
        """The loss, or a list of them; None where there is none."""
        return outputs.shown(self._need_compiled().losses)

    def _need_compiled(self):
        if self.compiled is None:
            raise NotCompiledError(
                f"model '{self.name}' is not compiled: call compile(optimizer='adam', "
                "loss='sparse_categorical_crossentropy', metrics=['accuracy']) first"
            )
        return self.compiled

    @property
    def engine(self) -> Engine:
        """What runs this model on the backend that is current."""
        name = None if self.compiled is None else self.compiled.backend_name
        backend = backends.get(name)
        engine_class = self._engine_for(backend)
        if type(self._engine) is not engine_class or self._engine.backend is not backend:
            previous, self._engine = self._engine, engine_class(self, backend)
            self._engine.take_over(previous)
        self._engine.prepare()
        return self._engine

    def training_engine(self) -> Engine:
        """The `engine`, with the weights taken over so that it can train them."""
        engine = self.engine
        engine.prepare(trains=True)
        return engine

    def next_epoch_generator(self) -> np.random.Generator:
        """The generator that shuffles the next epoch: a function of the seed and of the epochs trained so far."""
        self.epochs_trained += 1
        return random.generator(self.seed, "shuffle", self.epochs_trained)
