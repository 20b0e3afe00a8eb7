"""Flax, optax, chex and stax beyond the common names in `jax_groups_models`: what PyTorch has under another name."""

from __future__ import annotations

from regauge.decide.audit.tables.entries import Group
from regauge.language import N_

LEAVE_OUT = N_("leave it out")

_LAYERS = Group(
    "model",
    "equivalent",
    "PyTorch's modules hold their parameters in the same way",
    {
        **{f"flax.{room}.PReLU": "torch.nn.PReLU" for room in ("nnx", "linen")},
        **{f"flax.{room}.SimpleCell": "torch.nn.RNNCell" for room in ("nnx", "linen")},
        **{f"flax.{room}.Bidirectional": "torch.nn.LSTM" for room in ("nnx", "linen")},
        **{f"flax.{room}.WeightNorm": "torch.nn.utils.parametrizations.weight_norm" for room in ("nnx", "linen")},
        **{f"flax.{room}.SpectralNorm": "torch.nn.utils.parametrizations.spectral_norm" for room in ("nnx", "linen")},
        **{
            f"flax.{room}.make_causal_mask": "torch.nn.Transformer.generate_square_subsequent_mask"
            for room in ("nnx", "linen")
        },
        **{f"flax.{room}.combine_masks": "torch.logical_and" for room in ("nnx", "linen")},
        "flax.nnx.OptimizedLSTMCell": "torch.nn.LSTMCell",
        "flax.linen.RNN": "torch.nn.LSTM",
        "flax.linen.Einsum": "torch.einsum",
        "flax.linen.InstanceNorm": "torch.nn.InstanceNorm2d",
        "flax.linen.MultiHeadAttention": "torch.nn.MultiheadAttention",
        "flax.linen.normalize": "torch.nn.functional.layer_norm",
        "flax.linen.checkpoint": "torch.utils.checkpoint.checkpoint",
        "flax.linen.FrozenDict": "dict",
        "flax.linen.nowrap": LEAVE_OUT,
        "flax.linen.named_call": "torch.profiler.record_function",
        **{f"flax.linen.{name}": "torch.nn.init" for name in ("ones", "zeros", "ones_init", "zeros_init")},
        "flax.nnx.Initializer": "torch.nn.init",
        "flax.nnx.Object": "torch.nn.Module",
        "flax.nnx.Pytree": "torch.nn.Module",
        "flax.nnx.clone": "copy.deepcopy",
        "flax.nnx.display": "print",
        "flax.nnx.eval_shape": N_("a tensor on the device meta"),
        "flax.nnx.iter_children": "named_children()",
        "flax.nnx.State": "state_dict()",
        "flax.nnx.variables": "state_dict()",
        "flax.nnx.to_pure_dict": "state_dict()",
        "flax.nnx.replace_by_pure_dict": "load_state_dict()",
        "flax.nnx.to_flat_state": "state_dict()",
        "flax.nnx.from_flat_state": "load_state_dict()",
        "flax.nnx.dataclass": "dataclasses.dataclass",
        "flax.nnx.EMA": "torch.optim.swa_utils.AveragedModel",
        "flax.nnx.ModelAndOptimizer": "torch.optim.Optimizer",
        "flax.nnx.TrainState": N_("a module and its optimizer"),
        **{f"flax.nnx.{name}": LEAVE_OUT for name in ("data", "static", "Data", "Static")},
        **{f"flax.nnx.{name}": LEAVE_OUT for name in ("split_rngs", "fork_rngs", "with_rngs", "restore_rngs")},
        **{f"flax.nnx.{name}": LEAVE_OUT for name in ("RngState", "RngKey", "RngCount")},
        "flax.nnx.reseed": "torch.manual_seed",
        "flax.errors.*": "RuntimeError",
        "flax.__version__": "torch.__version__",
    },
)
_LIFTED = Group(
    "transformation",
    "equivalent",
    "PyTorch runs step by step: Python's own control flow, and torch.func for derivatives",
    {
        "flax.linen.cond": N_("if and else"),
        "flax.linen.switch": N_("if and elif"),
        "flax.linen.while_loop": N_("a while loop"),
        "flax.linen.grad": "torch.func.grad",
        "flax.linen.value_and_grad": "torch.func.grad_and_value",
        "flax.linen.jvp": "torch.func.jvp",
        "flax.linen.vjp": "torch.func.vjp",
    },
)
_SHARDED = Group(
    "distributed",
    "manual",
    "a sharded program becomes one process for each device, with torch.distributed",
    {
        **{
            f"flax.linen.{name}": "torch.distributed.tensor"
            for name in (
                *("Partitioned", "LogicallyPartitioned", "with_partitioning", "with_logical_partitioning"),
                *("with_logical_constraint", "logical_axis_rules", "get_partition_spec", "get_sharding"),
                *("logical_to_mesh", "logical_to_mesh_axes", "logical_to_mesh_sharding", "set_logical_axis_rules"),
            )
        },
        **{
            f"flax.nnx.{name}": "torch.distributed.tensor"
            for name in ("with_partitioning", "get_partition_spec", "get_named_sharding", "logical_axis_rules")
        },
        "flax.nnx.pmap": "torch.nn.parallel.DistributedDataParallel",
        "flax.nnx.shard_map": "torch.distributed",
    },
)
_OPTIMIZERS = Group(
    "optimizer",
    "equivalent",
    "torch.optim has the algorithm; compare its arguments",
    {
        "optax.amsgrad": "torch.optim.Adam",
        "optax.nadamw": "torch.optim.NAdam",
        "optax.identity": LEAVE_OUT,
        "optax.freeze": "torch.nn.Module.requires_grad_",
        "optax.set_to_zero": "torch.nn.Module.requires_grad_",
        "optax.GradientTransformationExtraArgs": "torch.optim.Optimizer",
        "optax.ScalarOrSchedule": "float",
        "jax.example_libraries.optimizers.Optimizer": "torch.optim.Optimizer",
        "jax.example_libraries.optimizers.OptimizerState": "optimizer.state_dict()",
        **{
            f"jax.example_libraries.optimizers.{name}": "torch.optim.lr_scheduler"
            for name in ("constant", "exponential_decay", "inverse_time_decay", "polynomial_decay")
        },
    },
)
_SCHEDULES = Group(
    "scheduler",
    "equivalent",
    "torch.optim.lr_scheduler has it, or takes a function of the step",
    {
        "optax.linear_onecycle_schedule": "torch.optim.lr_scheduler.OneCycleLR",
        "optax.piecewise_interpolate_schedule": "torch.optim.lr_scheduler.LambdaLR",
        "optax.warmup_constant_schedule": "torch.optim.lr_scheduler.SequentialLR",
        "optax.warmup_exponential_decay_schedule": "torch.optim.lr_scheduler.SequentialLR",
    },
)
# Losses that stand in optax and in optax.losses.
_KNOWN_LOSSES = {
    "safe_softmax_cross_entropy": "torch.nn.functional.cross_entropy",
    "smooth_labels": N_("label_smoothing= of torch.nn.functional.cross_entropy"),
    "cosine_distance": "1 - torch.nn.functional.cosine_similarity",
    "sigmoid_focal_loss": "torchvision.ops.sigmoid_focal_loss",
}
_LOSSES = Group(
    "loss",
    "equivalent",
    "PyTorch has the loss; optax's do not reduce",
    {
        **{f"{room}.{name}": other for room in ("optax", "optax.losses") for name, other in _KNOWN_LOSSES.items()},
        "optax.losses.kl_divergence_with_log_targets": "torch.nn.functional.kl_div",
        "optax.losses.triplet_margin_loss": "torch.nn.functional.triplet_margin_loss",
        "optax.losses.multiclass_hinge_loss": "torch.nn.functional.multi_margin_loss",
    },
)
_OTHER_LOSSES = (
    *("convex_kl_divergence", "generalized_kl_divergence", "hinge_loss", "log_cosh", "ntxent"),
    "ctc_loss_with_forward_probs",
)
_INNER_LOSSES = (
    *("make_fenchel_young_loss", "multiclass_perceptron_loss", "multiclass_sparsemax_loss", "perceptron_loss"),
    *("ranking_softmax_loss", "poly_loss_cross_entropy", "sparsemax_loss", "dice_loss", "binary_dice_loss"),
    "multiclass_generalized_dice_loss",
)
_WITHOUT = Group(
    "loss",
    "manual",
    "PyTorch has no such loss: write it from operations",
    {
        **{f"{room}.{name}": "" for room in ("optax", "optax.losses") for name in _OTHER_LOSSES},
        **{f"optax.losses.{name}": "" for name in _INNER_LOSSES},
    },
)
_CHEX_TYPES = Group(
    "type",
    "equivalent",
    "types and dtypes have the same names, or Python's own",
    {
        "chex.ArrayNumpy": "numpy.ndarray",
        "chex.ArrayDevice": "torch.Tensor",
        "chex.ArrayBatched": "torch.Tensor",
        "chex.ArrayDType": "torch.dtype",
        "chex.Shape": "torch.Size",
        "chex.Device": "torch.device",
        "chex.PyTreeDef": "torch.utils._pytree.TreeSpec",
        "chex.ArrayNumpyTree": N_("a nested structure of torch.Tensor"),
        "chex.ArrayDeviceTree": N_("a nested structure of torch.Tensor"),
        "chex.mappable_dataclass": "dataclasses.dataclass",
        "chex.register_dataclass_type_with_jax_tree_util": "torch.utils._pytree.register_pytree_node",
    },
)
_CHECKS = (
    *("axis_dimension_gt", "axis_dimension_gteq", "axis_dimension_lt", "axis_dimension_lteq", "equal_size", "size"),
    *("axis_dimension_comparator", "equal_shape_prefix", "equal_shape_suffix", "exactly_one_is_none", "is_divisible"),
    *("not_both_none", "scalar_negative", "scalar_non_negative", "tree_no_nones", "tree_has_only_ndarrays"),
    *("tree_shape_prefix", "tree_shape_suffix", "trees_all_equal_sizes", "trees_all_equal_comparator"),
    *("tree_all_equal_structs", "tree_all_close", "tree_all_equal_shapes", "tree_is_on_host"),
)
_CHEX = Group(
    "test",
    "equivalent",
    "tensors are compared as tensors",
    {
        **{f"chex.assert_{name}": "assert" for name in _CHECKS},
        "chex.disable_asserts": LEAVE_OUT,
        "chex.enable_asserts": LEAVE_OUT,
        "chex.fake_jit": LEAVE_OUT,
        "chex.fake_pmap": LEAVE_OUT,
        "chex.params_product": "itertools.product",
    },
)
_STAX = "jax.example_libraries.stax."
_STAX_LAYERS = Group(
    "model",
    "equivalent",
    "PyTorch's modules hold their parameters in the same way",
    {
        f"{_STAX}serial": "torch.nn.Sequential",
        f"{_STAX}Dense": "torch.nn.Linear",
        f"{_STAX}Conv": "torch.nn.Conv2d",
        f"{_STAX}GeneralConv": "torch.nn.Conv2d",
        f"{_STAX}ConvTranspose": "torch.nn.ConvTranspose2d",
        f"{_STAX}Conv1DTranspose": "torch.nn.ConvTranspose1d",
        f"{_STAX}BatchNorm": "torch.nn.BatchNorm2d",
        f"{_STAX}Dropout": "torch.nn.Dropout",
        f"{_STAX}Flatten": "torch.nn.Flatten",
        f"{_STAX}Identity": "torch.nn.Identity",
        f"{_STAX}MaxPool": "torch.nn.MaxPool2d",
        f"{_STAX}AvgPool": "torch.nn.AvgPool2d",
        **{f"{_STAX}{name}": f"torch.nn.{name}" for name in ("Tanh", "Sigmoid", "Softmax", "LogSoftmax", "Softplus")},
        f"{_STAX}Relu": "torch.nn.ReLU",
        f"{_STAX}LeakyRelu": "torch.nn.LeakyReLU",
        f"{_STAX}Elu": "torch.nn.ELU",
        f"{_STAX}Selu": "torch.nn.SELU",
        f"{_STAX}Gelu": "torch.nn.GELU",
    },
)
FLAX = (*(_LAYERS, _LIFTED, _SHARDED, _OPTIMIZERS, _SCHEDULES, _LOSSES, _WITHOUT, _CHEX_TYPES, _CHEX, _STAX_LAYERS),)
