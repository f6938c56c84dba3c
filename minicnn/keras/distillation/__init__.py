"""``keras.distillation``: a small model learns what a large one says of the same pictures (Hinton et al., 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.keras import losses, metrics, models, ops, tree

__all__ = ["DistillationLoss", "Distiller", "FeatureDistillation", "LogitsDistillation"]


def _losses_of(given: Any) -> Any:
    """Losses by name, as functions or as objects, nested as the outputs are; None for outputs that do not count."""
    found = tree.map_structure(lambda loss: None if loss is None else losses.get(loss), given)
    if all(loss is None for loss in tree.flatten(found)):
        raise ValueError(f"a distillation needs a loss for one output at least. Received: loss={given!r}")
    return found


class DistillationLoss:
    """A part of the loss by which a student learns from its teacher; subclasses have a `compute_loss`."""

    teacher_layer_name: str | None = None
    student_layer_name: str | None = None
    loss: Any = None

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        """One number of what both models say of a batch."""
        raise NotImplementedError(f"{type(self).__name__} needs a compute_loss(teacher_outputs, student_outputs)")

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        """Raise a ValueError where the outputs are nested in other ways."""
        tree.assert_same_structure(teacher_outputs, student_outputs)

    def validate_model_compatibility(self, teacher: Any, student: Any) -> None:
        """Raise a ValueError for models that it is not for; those of a subclass are taken as they are."""

    def _total(self, teacher_outputs: Any, student_outputs: Any) -> Any:
        """The sum of the losses' means."""
        parts = tree.map_structure(self._part, self.loss, teacher_outputs, student_outputs)
        return sum(part for part in tree.flatten(parts) if part is not None)

    def _part(self, loss: Any, teacher: Any, student: Any) -> Any:
        return None if loss is None else ops.mean(loss(teacher, student))

    def get_config(self) -> dict[str, Any]:
        """Arguments, with the losses as Keras writes them."""
        return {"loss": tree.map_structure(lambda loss: None if loss is None else losses.serialize(loss), self.loss)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DistillationLoss:
        """One of the arguments that `get_config` gives."""
        return cls(**config)


class LogitsDistillation(DistillationLoss):
    """Compare what both models say before their softmax, divided by a temperature.

    Parameters
    ----------
    temperature : float, default 3.0
        Above 0; the larger, the more the less probable classes count.
    loss : str, function or Loss, or nested such, default "kl_divergence"
        The Kullback-Leibler divergence is of the probabilities, and counts temperature² times; others are of the
        divided numbers themselves.

    Raises
    ------
    ValueError
        For a temperature that is not above 0, or no loss.
    """

    def __init__(self, temperature: float = 3.0, loss: Any = "kl_divergence") -> None:
        if not isinstance(temperature, int | float) or not temperature > 0:
            raise ValueError(f"a temperature is a number above 0. Received: temperature={temperature!r}")
        self.temperature: float = temperature
        self.loss: Any = _losses_of(loss)

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        """The sum over the outputs."""
        outputs = (tree.map_structure(lambda x: x / self.temperature, o) for o in (teacher_outputs, student_outputs))
        return self._total(*outputs)

    def _part(self, loss: Any, teacher: Any, student: Any) -> Any:
        if not isinstance(loss, losses.KLDivergence) and getattr(loss, "__name__", "") != "kl_divergence":
            return super()._part(loss, teacher, student)
        return super()._part(loss, ops.softmax(teacher), ops.softmax(student)) * self.temperature**2

    def get_config(self) -> dict[str, Any]:
        """Arguments."""
        return {"temperature": self.temperature, **super().get_config()}


class FeatureDistillation(DistillationLoss):
    """Compare what two layers give, one of each model; without names, what the models give.

    Parameters
    ----------
    loss : str, function or Loss, or nested such, default "mse"
    teacher_layer_name, student_layer_name : str, optional
        Names of layers whose outputs have one shape.
    """

    def __init__(
        self, loss: Any = "mse", teacher_layer_name: str | None = None, student_layer_name: str | None = None
    ) -> None:
        self.loss: Any = _losses_of(loss)
        self.teacher_layer_name: str | None = teacher_layer_name
        self.student_layer_name: str | None = student_layer_name

    def validate_model_compatibility(self, teacher: Any, student: Any) -> None:
        """Raise a ValueError where a model has no layer of the name."""
        for model, name in ((teacher, self.teacher_layer_name), (student, self.student_layer_name)):
            if name is not None:
                model.get_layer(name)

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        """The sum over the outputs."""
        return self._total(teacher_outputs, student_outputs)

    def get_config(self) -> dict[str, Any]:
        """Arguments."""
        names = {"teacher_layer_name": self.teacher_layer_name, "student_layer_name": self.student_layer_name}
        return {**super().get_config(), **names}


class Distiller(models.Model):
    """A model that is its student, and in training learns from targets and from a teacher, which is frozen.

    Parameters
    ----------
    teacher, student : Model
        Of the same inputs and outputs.
    distillation_losses : DistillationLoss, or list of them
    distillation_loss_weights : list of float, optional
        Default: 1 for each.
    student_loss_weight : float, default 0.5
        What the loss of the targets counts; those of the teacher count 1 minus it.

    Raises
    ------
    ValueError
        For a weight outside of [0, 1], another number of weights than of losses, no loss, or models that do not fit.
    """

    teacher: Any
    student: Any
    student_loss_weight: float
    distillation_losses: list[DistillationLoss]
    distillation_loss_weights: list[float]

    def __init__(
        self,
        teacher: Any,
        student: Any,
        distillation_losses: Any,
        distillation_loss_weights: Sequence[float] | None = None,
        student_loss_weight: float = 0.5,
        name: str = "distiller",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        given = distillation_losses if isinstance(distillation_losses, list | tuple) else [distillation_losses]
        weights = [1.0] * len(given) if distillation_loss_weights is None else list(distillation_loss_weights)
        if not all(isinstance(loss, DistillationLoss) for loss in given) or not given or len(weights) != len(given):
            raise ValueError(
                "a Distiller needs distillation losses, with a weight for each, if any: LogitsDistillation(), "
                f"FeatureDistillation(). Received: {distillation_losses!r}, weights {distillation_loss_weights!r}"
            )
        if not isinstance(student_loss_weight, int | float) or not 0 <= student_loss_weight <= 1:
            raise ValueError(
                f"a student_loss_weight is a number from 0 to 1. Received: student_loss_weight={student_loss_weight!r}"
            )
        _check_models(teacher, student, given)
        self.teacher, self.student, self.student_loss_weight = teacher, student, student_loss_weight
        self.distillation_losses, self.distillation_loss_weights = list(given), weights
        self._features = {
            "teacher": _with_layers(teacher, [loss.teacher_layer_name for loss in given]),
            "student": _with_layers(student, [loss.student_layer_name for loss in given]),
        }
        teacher.trainable = False
        self.student_loss_tracker: metrics.Mean = metrics.Mean(name="student_loss")
        self.distillation_loss_tracker: metrics.Mean = metrics.Mean(name="distillation_loss")
        self.total_loss_tracker: metrics.Mean = metrics.Mean(name="total_loss")

    def compile(self, optimizer: Any = "adam", loss: Any = None, metrics: Any = None, **kwargs: Any) -> None:
        """As of any model; `loss` is that of the student's outputs and the targets, and has to be given."""
        if loss is None:
            raise ValueError("a Distiller needs the loss of its student and the targets: compile(loss=…)")
        self._student_loss = _losses_of(loss)
        super().compile(optimizer=optimizer, loss=None, metrics=metrics, **kwargs)

    def call(self, inputs: Any, training: Any = None) -> Any:
        """What the student says."""
        return self.student(inputs, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The loss of a batch; weights of samples do not count, as in Keras."""
        y_pred = self(x, training=training) if y_pred is None else y_pred
        of_targets: Any = 0.0
        if self.student_loss_weight > 0 and y is not None:
            parts = tree.map_structure(lambda loss, target, said: loss(target, said), self._student_loss, y, y_pred)
            of_targets = sum(ops.mean(part) for part in tree.flatten(parts))
        of_teacher: Any = self._of_teacher(x, y_pred) if self.student_loss_weight < 1 else 0.0
        total = self.student_loss_weight * of_targets + (1.0 - self.student_loss_weight) * of_teacher
        self.student_loss_tracker.update_state(of_targets)
        self.distillation_loss_tracker.update_state(of_teacher)
        self.total_loss_tracker.update_state(total)
        return total

    def _of_teacher(self, x: Any, y_pred: Any) -> Any:
        """The weighted sum of the distillation losses."""
        taught, learnt = self._features["teacher"](x, training=False), {"": y_pred}
        if len(self._features["student"].outputs) > 1:
            learnt = {**self._features["student"](x, training=True), "": y_pred}
        total: Any = 0.0
        for loss, weight in zip(self.distillation_losses, self.distillation_loss_weights, strict=True):
            of_student = loss.student_layer_name if loss.teacher_layer_name else None  # as Keras: both by name, or none
            pair = taught[loss.teacher_layer_name or ""], learnt[of_student or ""]
            loss.validate_outputs(*pair)
            total = total + weight * loss.compute_loss(*pair)
        return total


def _check_models(teacher, student, given):
    for role, model in (("teacher", teacher), ("student", student)):
        if not isinstance(model, models.Model):
            raise ValueError(f"a {role} is a Model. Received: {type(model).__name__}")
    for what in ("inputs", "outputs"):
        shapes = [[tuple(t.shape[1:]) for t in getattr(model, what)] for model in (teacher, student)]
        if len(shapes[0]) != len(shapes[1]) or not all(map(_fit, *shapes)):
            raise ValueError(f"teacher and student need {what} of the same shapes. Received: {shapes[0]}, {shapes[1]}")
    for loss in given:
        loss.validate_model_compatibility(teacher, student)


def _fit(a, b):
    """Whether two shapes are the same, as far as both are known."""
    return len(a) == len(b) and all(None in (m, n) or m == n for m, n in zip(a, b, strict=True))


def _with_layers(model, names):
    """The model with its output under "", and those of further layers under their names."""
    outputs = {name: model.get_layer(name).output for name in names if name is not None}
    return models.Model(model.inputs, {"": model.output, **outputs})
