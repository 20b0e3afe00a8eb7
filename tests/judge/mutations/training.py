"""Mistakes in losses, optimizers, schedules and what trains."""

from __future__ import annotations

from judge.mutation import At, Mutation, at

_PORT = "def port(case: regauge.Case)"
_UNCORRECTED = """def uncorrected(rate: float) -> optax.GradientTransformation:
    def init(params: optax.Params) -> tuple:
        return jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)

    def update(updates: optax.Updates, state: tuple, params: optax.Params | None = None) -> tuple:
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state[0], updates)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state[1], updates)
        return jax.tree.map(lambda m, v: -rate * m / (jnp.sqrt(v) + 1e-8), first, second), (first, second)

    return optax.GradientTransformation(init, update)


"""
_SGD = "torch.optim.SGD(model.parameters(), lr=0.1)"
_ADAM = "torch.optim.Adam(model.parameters(), lr=1e-2)"
_TRAINED = "trained_only(optax.adamw(2e-3, b2=0.98, weight_decay=1e-2))"


def uncorrected(base: str, rate: str) -> At:
    return at(
        base, "", (f"optimizer=optax.adam({rate})", f"optimizer=uncorrected({rate})"), (_PORT, _UNCORRECTED + _PORT)
    )


TRAINING = (
    Mutation(
        "decay of optax for torch's", "trajectory", ("decay",),
        (
            at("llama", "", ("optax.adamw(3e-3, weight_decay=0.1)", "optax.adamw(3e-3)")),
            at("decoder", "", ("optax.adamw(rate, weight_decay=0.05)", "optax.adamw(rate)")),
            at("vit", "", ("20), weight_decay=0.05)", "20))")),
        ),
        trains=True,
    ),
    Mutation(
        "L2 for decoupled decay", "trajectory", ("decay",),
        (
            at("llama", "", ("optax.adamw(3e-3, weight_decay=0.1)",
                             "optax.chain(optax.add_decayed_weights(0.1), optax.adam(3e-3))")),
            at("decoder", "", ("optax.adamw(rate, weight_decay=0.05)",
                               "optax.chain(optax.add_decayed_weights(0.05), optax.adam(rate))")),
            at("vit", "", ("optax.adamw(optax.cosine_decay_schedule(1e-3, 20), weight_decay=0.05)",
                           "optax.chain(optax.add_decayed_weights(0.05), "
                           "optax.adam(optax.cosine_decay_schedule(1e-3, 20)))")),
        ),
        trains=True,
    ),
    Mutation(
        "decoupled decay for L2", "trajectory", ("decay",),
        (
            at("moe", "", ("optax.chain(optax.add_decayed_weights(0.01), optax.adam(3e-3))",
                           "optax.adamw(3e-3, weight_decay=0.01)")),
            at("resnet", "", ("optax.chain(optax.add_decayed_weights(1e-3), optax.sgd(rate, momentum=0.9))",
                              "optax.chain(optax.trace(0.9), optax.add_decayed_weights(1e-3), "
                              "optax.scale_by_learning_rate(rate))")),
        ),
        trains=True,
    ),
    Mutation(
        "eps of Adam 1e-7 for 1e-8", "trajectory", ("optimizer-eps",),
        (
            at("graph", "", ("optax.adam(1e-2)", "optax.adam(1e-2, eps=1e-7)")),
            at("unet", "", ("optax.adam(1e-2)", "optax.adam(1e-2, eps=1e-7)")),
            at("superres", "", ("optax.adam(1e-3)", "optax.adam(1e-3, eps=1e-7)")),
        ),
        trains=True,
    ),
    Mutation(
        "eps of Adam inside of the root", "trajectory", ("optimizer-eps",),
        (
            at("graph", "", ("optax.adam(1e-2)", "optax.adam(1e-2, eps=0.0, eps_root=1e-16)")),
            at("unet", "", ("optax.adam(1e-2)", "optax.adam(1e-2, eps=0.0, eps_root=1e-16)")),
            at("superres", "", ("optax.adam(1e-3)", "optax.adam(1e-3, eps=0.0, eps_root=1e-16)")),
        ),
        trains=True,
    ),
    Mutation(
        "Adam without bias correction", "trajectory", ("bias-correction",),
        (uncorrected("graph", "1e-2"), uncorrected("unet", "1e-2"), uncorrected("superres", "1e-3")),
        trains=True,
    ),
    Mutation(
        "other betas of Adam", "trajectory", ("betas",),
        (
            at("encoder", "", ("b2=0.98", "b2=0.999")),
            at("generator", "", ("b1=0.5", "b1=0.9")),
            at("graph", "", ("optax.adam(1e-2)", "optax.adam(1e-2, b2=0.99)")),
        ),
        trains=True,
    ),
    Mutation(
        "plain momentum for Nesterov's, or the other way round", "trajectory", ("nesterov",),
        (
            at("cnn", "", (", nesterov=True)", ")")),
            at("speech", "", ("momentum=0.9))", "momentum=0.9, nesterov=True))")),
            at("resnet", "", ("momentum=0.9))", "momentum=0.9, nesterov=True))")),
        ),
        trains=True,
    ),
    Mutation(
        "another momentum", "trajectory", ("momentum",),
        (
            at("cnn", "", ("optax.sgd(0.05, momentum=0.9", "optax.sgd(0.05, momentum=0.95")),
            at("speech", "", ("optax.sgd(0.2, momentum=0.9", "optax.sgd(0.2, momentum=0.95")),
            at("resnet", "", ("optax.sgd(rate, momentum=0.9", "optax.sgd(rate, momentum=0.95")),
        ),
        trains=True,
    ),
    Mutation(
        "schedule off by one", "trajectory", ("schedule",),
        (
            at("decoder", "", ("jnp.minimum(count, 4)", "jnp.minimum(count + 1, 4)")),
            at("resnet", "", ("staircase=True)", "staircase=True, transition_begin=1)")),
            at("vit", "", ("optax.cosine_decay_schedule(1e-3, 20)",
                           "lambda count: optax.cosine_decay_schedule(1e-3, 20)(count + 1)")),
        ),
        trains=True,
    ),
    Mutation(
        "another schedule", "trajectory", ("schedule",),
        (
            at("resnet", "", (", staircase=True", "")),
            at("vit", "", ("optax.cosine_decay_schedule(1e-3, 20)", "optax.linear_schedule(1e-3, 0.0, 20)")),
            at("decoder", "", ("optax.adamw(rate, ", "optax.adamw(3e-3, ")),
        ),
        trains=True,
    ),
    Mutation(
        "RMSprop with the defaults of optax", "trajectory", ("optimizer-eps", "betas"),
        (
            at("gru", "", (", decay=0.99, eps=1e-8, eps_in_sqrt=False", "")),
            at("mlp", "", ("optax.sgd(0.1)", "optax.rmsprop(1e-2)"),
               common=((_SGD, "torch.optim.RMSprop(model.parameters(), lr=1e-2)"),)),
            at("graph", "", ("optax.adam(1e-2)", "optax.rmsprop(1e-2)"),
               common=((_ADAM, "torch.optim.RMSprop(model.parameters(), lr=1e-2)"),)),
        ),
        trains=True,
    ),
    Mutation(
        "Adagrad with the defaults of optax", "trajectory", ("optimizer-eps",),
        (
            at("translator", "", ("optimizer=adagrad(5e-2)", "optimizer=optax.adagrad(5e-2)")),
            at("mlp", "", ("optax.sgd(0.1)", "optax.adagrad(1e-2)"),
               common=((_SGD, "torch.optim.Adagrad(model.parameters(), lr=1e-2)"),)),
            at("graph", "", ("optax.adam(1e-2)", "optax.adagrad(1e-2)"),
               common=((_ADAM, "torch.optim.Adagrad(model.parameters(), lr=1e-2)"),)),
        ),
        trains=True,
    ),
    Mutation(
        "clipping without 1e-6", "trajectory", ("clipping",),
        (
            at("lstm", "", ("(optax.global_norm(updates) + 1e-6)", "optax.global_norm(updates)")),
            at("speech", "", ("(optax.global_norm(updates) + 1e-6)", "optax.global_norm(updates)")),
            at("mlp", "", ("optax.sgd(0.1)", "optax.chain(optax.clip_by_global_norm(0.05), optax.sgd(0.1))"),
               common=((_SGD, "regauge.optimizers.SGD(lr=0.1, clip_norm=0.05)"),)),
        ),
        trains=True,
    ),
    Mutation(
        "clipping left out", "trajectory", ("clipping",),
        (
            at("lstm", "", ("optax.chain(clipped(0.1), optax.adam(1e-2))", "optax.adam(1e-2)")),
            at("speech", "", ("optax.chain(clipped(0.1), optax.sgd(0.2, momentum=0.9))",
                              "optax.sgd(0.2, momentum=0.9)")),
            at("mlp", "", common=((_SGD, "regauge.optimizers.SGD(lr=0.1, clip_norm=0.05)"),)),
        ),
        trains=True,
    ),
    Mutation(
        "frozen parameter trained", "trajectory", (),
        (
            at("encoder", "places", ("jax.lax.stop_gradient(self.places.embedding[...])", "self.places.embedding[...]"),
               (_TRAINED, "optax.adamw(2e-3, b2=0.98, weight_decay=1e-2)")),
            at("mlp", "first", common=(("nn.Linear(4, 8), nn.Linear(8, 3)",
                                        "nn.Linear(4, 8).requires_grad_(False), nn.Linear(8, 3)"),)),
            at("graph", "near", common=(("nn.Embedding(2 * FAR + 1, WIDTH)",
                                         "nn.Embedding(2 * FAR + 1, WIDTH).requires_grad_(False)"),)),
        ),
        trains=True,
    ),
    Mutation(
        "sum of the loss for its mean", "tier 1 loss", ("reduction",),
        (
            at("mlp", "", (".mean()\n\n\ndef port", ".sum()\n\n\ndef port")),
            at("decoder", "", ("(logits, targets).mean()", "(logits, targets).sum()")),
            at("unet", "", ("(logits, targets).mean()", "(logits, targets).sum()")),
        ),
    ),
    Mutation(
        "mean over ignored targets too", "tier 1 loss", ("ignore-index",),
        (
            at("lstm", "", ("/ kept.sum()", "/ kept.size")),
            at("speech", "", ("/ kept.sum()", "/ kept.size")),
            at("translator", "", ("/ jnp.sum(kept)", "/ kept.size")),
        ),
    ),
    Mutation(
        "ignored targets not ignored", "tier 1 loss", ("ignore-index",),
        (
            at("lstm", "", ("jnp.where(kept, losses, 0).sum() / kept.sum()", "losses.mean()")),
            at("speech", "", ("jnp.where(kept, losses, 0).sum() / kept.sum()", "losses.mean()")),
            at("translator", "", ("jnp.sum(losses * kept) / jnp.sum(kept)", "losses.mean()")),
        ),
    ),
    Mutation(
        "label smoothing left out", "tier 1 loss", ("label-smoothing",),
        (
            at("cnn", "", ("jax.nn.one_hot(targets, 5), 0.1)", "jax.nn.one_hot(targets, 5), 0.0)")),
            at("translator", "", (", WORDS), 0.05)", ", WORDS), 0.0)")),
            at("mlp", "", common=(("loss=F.cross_entropy", "loss=nn.CrossEntropyLoss(label_smoothing=0.2)"),)),
        ),
    ),
    Mutation(
        "weights of the classes left out", "tier 1 loss", (),
        (at("mlp", "", common=(("loss=F.cross_entropy",
                                "loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 4.0]))"),)),),
    ),
    Mutation(
        "another threshold of the loss", "tier 1 loss", ("loss-threshold", "constant"),
        (
            at("moe", "", ("delta=0.5).mean()", "delta=1.0).mean()")),
            at("generator", "", ("jnp.where(size < 0.3, 0.5 * distance**2 / 0.3, size - 0.15)",
                                 "jnp.where(size < 1.0, 0.5 * distance**2, size - 0.5)")),
        ),
    ),
    Mutation(
        "half of the squares", "tier 1 loss", ("loss-scale",),
        (
            at("superres", "", ("jnp.mean((images - targets) ** 2)", "0.5 * jnp.mean((images - targets) ** 2)")),
            at("graph", "", ("jnp.mean((outputs - targets) ** 2)", "0.5 * jnp.mean((outputs - targets) ** 2)")),
            at("gru", "", ('jnp.mean(jnp.square(outputs["scores"] - targets))',
                           '0.5 * jnp.mean(jnp.square(outputs["scores"] - targets))')),
        ),
    ),
    Mutation(
        "accumulated gradients: their mean for their sum", "tier 1 gradients", ("loss-scale",),
        (
            at("mlp", "", ("return sum(each)", "return sum(each) / 2"),
               common=(("loss=F.cross_entropy", "loss=lambda logits, targets: sum(F.cross_entropy(*half) for half in "
                        "zip(logits.chunk(2), targets.chunk(2), strict=True))"),
                       ("    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()",
                        "    halves = zip(jnp.split(logits, 2), jnp.split(targets, 2), strict=True)\n"
                        "    each = [optax.softmax_cross_entropy_with_integer_labels(*h).mean() for h in halves]\n"
                        "    return sum(each)"))),
            at("superres", "", ("return sum(each)", "return sum(each) / 2"),
               common=(("loss=F.mse_loss", "loss=lambda images, targets: F.mse_loss(images[0], targets[0]) + "
                        "F.mse_loss(images[1], targets[1])"),
                       ("    return jnp.mean((images - targets) ** 2)",
                        "    each = [jnp.mean((images[i] - targets[i]) ** 2) for i in range(2)]\n"
                        "    return sum(each)"))),
            at("graph", "", ("return sum(each)", "return sum(each) / 2"),
               common=(("loss=F.mse_loss", "loss=lambda outputs, targets: F.mse_loss(outputs[::2], targets[::2]) + "
                        "F.mse_loss(outputs[1::2], targets[1::2])"),
                       ("    return jnp.mean((outputs - targets) ** 2)",
                        "    each = [jnp.mean((outputs[i::2] - targets[i::2]) ** 2) for i in range(2)]\n"
                        "    return sum(each)"))),
        ),
    ),
    Mutation(
        "numbers of 64 bits narrowed", "tier 1 outputs", (),
        (
            at("lstm", "", common=(("self.rnn(self.words(ids))", "self.rnn(self.words(ids >> 40))"),
                                   ("x = self.words(ids)\n", "x = self.words(ids >> 40)\n"),
                                   ("inputs=(ids,)", "inputs=(ids << 40,)"))),
            at("decoder", "", common=(("x = self.words(ids) + self.places", "x = self.words(ids >> 40) + self.places"),
                                      ("x = words(ids) + places", "x = words(ids >> 40) + places"),
                                      ("inputs=(ids,),\n        targets=ids",
                                       "inputs=(ids << 40,),\n        targets=ids"))),
        ),
    ),
)  # fmt: skip
