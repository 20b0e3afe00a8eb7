"""What a use is for, in the words of the reports."""

from __future__ import annotations

from regauge.language import N_

AREAS: dict[str, str] = {
    "model": N_("modules and layers"),
    "operation": N_("tensor operations"),
    "initialisation": N_("initialisation"),
    "loss": N_("losses"),
    "optimizer": N_("optimizers"),
    "scheduler": N_("learning-rate schedules"),
    "training": N_("training loops"),
    "gradient": N_("gradients"),
    "precision": N_("mixed precision"),
    "data": N_("data pipelines"),
    "checkpoint": N_("checkpoints"),
    "distributed": N_("several devices"),
    "device": N_("devices and memory"),
    "random": N_("random numbers"),
    "transformation": N_("compilation and transformations"),
    "kernel": N_("kernels and extensions"),
    "export": N_("export and deployment"),
    "hook": N_("hooks"),
    "value": N_("reading values"),
    "distribution": N_("probability distributions"),
    "sparse": N_("sparse arrays"),
    "type": N_("types"),
    "test": N_("tests"),
    "tool": N_("tools"),
    "internal": N_("internals of the framework"),
    "library": N_("libraries built on the framework"),
    "unknown": N_("not recorded"),
}

DEGREE_NAMES: dict[str, str] = {
    "automatic": N_("automatic"),
    "equivalent": N_("equivalent"),
    "manual": N_("manual"),
    "none": N_("no counterpart"),
}
DEGREE_TEXTS: dict[str, str] = {
    "automatic": N_("regauge converts it"),
    "equivalent": N_("another API does the same; it is named"),
    "manual": N_("to be rewritten; the reason is named"),
    "none": N_("nothing on the other side does this"),
}
