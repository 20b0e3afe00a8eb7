"""PyTorch's functions that regauge has no sample of: what JAX has under another name, why others have nothing."""

from __future__ import annotations

from regauge.decide.audit.tables.entries import Group
from regauge.decide.audit.tables.torch_groups import LEAVE_OUT
from regauge.language import N_

_OTHER_NAMES = Group(
    "operation",
    "equivalent",
    "JAX has the same under another name",
    {
        "torch.asarray": "jnp.asarray",
        "torch.can_cast": "jnp.can_cast",
        "torch.range": "jnp.arange",
        "torch.vander": "jnp.vander",
        "torch.histc": "jnp.histogram",
        "torch.Tensor.histc": "jnp.histogram",
        "torch.histogramdd": "jnp.histogramdd",
        "torch.tensor_split": "jnp.array_split",
        "torch.Tensor.tensor_split": "jnp.array_split",
        "torch.chain_matmul": "jnp.linalg.multi_dot",
        "torch.conj_physical": "jnp.conj",
        "torch.Tensor.conj_physical": "jnp.conj",
        "torch.resolve_conj": LEAVE_OUT,
        "torch.resolve_neg": LEAVE_OUT,
        "torch.Tensor.resolve_conj": LEAVE_OUT,
        "torch.Tensor.resolve_neg": LEAVE_OUT,
        "torch.is_same_size": "x.shape == y.shape",
        "torch.is_nonzero": "bool(x)",
        "torch.is_signed": "jnp.issubdtype(x.dtype, jnp.signedinteger)",
        "torch.is_inference": LEAVE_OUT,
        "torch.typename": "type(x).__name__",
        "torch._shape_as_tensor": "x.shape",
        "torch.Tensor.H": "x.conj().T",
        "torch.mode": "jax.scipy.stats.mode",
        "torch.Tensor.mode": "jax.scipy.stats.mode",
        "torch.igamma": "jax.scipy.special.gammainc",
        "torch.igammac": "jax.scipy.special.gammaincc",
        "torch.special.gammainc": "jax.scipy.special.gammainc",
        "torch.special.gammaincc": "jax.scipy.special.gammaincc",
        "torch.special.entr": "jax.scipy.special.entr",
        "torch.special.zeta": "jax.scipy.special.zeta",
        "torch.special.modified_bessel_i0": "jax.scipy.special.i0",
        "torch.special.modified_bessel_i1": "jax.scipy.special.i1",
        "torch.fft.fftfreq": "jnp.fft.fftfreq",
        "torch.fft.rfftfreq": "jnp.fft.rfftfreq",
        "torch.segment_reduce": "jax.ops.segment_sum",
        "torch.index_reduce": "x.at[...].max",
        "torch.Tensor.index_reduce": "x.at[...].max",
        "torch.Tensor.index_reduce_": "x.at[...].max",
        "torch.empty_permuted": "jnp.empty",
        "torch.Tensor.new_empty_strided": "jnp.empty",
        "torch.poisson": "jax.random.poisson",
        "torch.binomial": "jax.random.binomial",
        "torch._sample_dirichlet": "jax.random.dirichlet",
        "torch._standard_gamma": "jax.random.gamma",
        "torch.Tensor.cauchy_": "jax.random.cauchy",
        "torch.Tensor.geometric_": "jax.random.geometric",
        "torch.Tensor.log_normal_": "jax.random.lognormal",
        "torch.nn.functional.upsample": "jax.image.resize",
        "torch.nn.functional.instance_norm": "nnx.InstanceNorm",
        "torch.instance_norm": "nnx.InstanceNorm",
        "torch.nn.functional.grouped_mm": "jax.lax.ragged_dot",
        "torch._grouped_mm": "jax.lax.ragged_dot",
        "torch._higher_order_ops.associative_scan.*": "jax.lax.associative_scan",
        "torch._higher_order_ops.scan.*": "jax.lax.scan",
        "torch._higher_order_ops.while_loop.*": "jax.lax.while_loop",
        "torch._higher_order_ops.cond.*": "jax.lax.cond",
        "torch.to_dlpack": "jax.dlpack",
        "torch.from_file": "np.memmap",
    },
)
_SOLVERS = Group(
    "operation",
    "equivalent",
    "JAX has it in its linear algebra",
    {
        "torch.slogdet": "jnp.linalg.slogdet",
        "torch.symeig": "jnp.linalg.eigh",
        "torch.eig": "jnp.linalg.eig",
        "torch.solve": "jnp.linalg.solve",
        "torch.lstsq": "jnp.linalg.lstsq",
        "torch.matrix_rank": "jnp.linalg.matrix_rank",
        "torch.frobenius_norm": "jnp.linalg.norm",
        "torch.nuclear_norm": "jnp.linalg.norm",
        "torch.norm_except_dim": "jnp.linalg.norm",
        "torch.triangular_solve": "jax.scipy.linalg.solve_triangular",
        "torch.Tensor.triangular_solve": "jax.scipy.linalg.solve_triangular",
        "torch.cholesky_solve": "jax.scipy.linalg.cho_solve",
        "torch.Tensor.cholesky_solve": "jax.scipy.linalg.cho_solve",
        "torch.lu_solve": "jax.scipy.linalg.lu_solve",
        "torch.Tensor.lu_solve": "jax.scipy.linalg.lu_solve",
        "torch.linalg.lu_factor": "jax.scipy.linalg.lu_factor",
        "torch.linalg.lu_factor_ex": "jax.scipy.linalg.lu_factor",
        "torch.linalg.lu_solve": "jax.scipy.linalg.lu_solve",
        "torch.linalg.solve_ex": "jnp.linalg.solve",
        "torch.linalg.householder_product": "jax.lax.linalg.householder_product",
        "torch.orgqr": "jax.lax.linalg.householder_product",
        "torch.Tensor.orgqr": "jax.lax.linalg.householder_product",
        "torch.ormqr": "jax.lax.linalg.ormqr",
        "torch.Tensor.ormqr": "jax.lax.linalg.ormqr",
        "torch.lobpcg": "jax.experimental.sparse.linalg.lobpcg_standard",
    },
)
_MODULES = Group(
    "model",
    "equivalent",
    "NNX or optax has it",
    {
        "torch.nn.LSTMCell": "nnx.LSTMCell",
        "torch.nn.CTCLoss": "optax.ctc_loss",
        "torch.nn.utils.clip_grads_with_norm_": "optax.clip_by_global_norm",
    },
)
_WITHOUT = Group(
    "model",
    "manual",
    "NNX has no such layer or function: write it from those that it has",
    {
        "torch.nn.AdaptiveLogSoftmaxWithLoss": "",
        "torch.nn.CrossMapLRN2d": "",
        "torch.nn.EmbeddingBag": "jax.ops.segment_sum",
        "torch.nn.FractionalMaxPool2d": "",
        "torch.nn.FractionalMaxPool3d": "",
        "torch.nn.RNNBase": "nnx.RNN",
        "torch.nn.RNNCellBase": "nnx.RNNCellBase",
        "torch.nn.functional.affine_grid": "jnp.meshgrid",
        "torch.nn.functional.embedding_bag": "jax.ops.segment_sum",
        "torch.nn.functional.gumbel_softmax": "jax.random.gumbel",
        "torch.nn.functional.scaled_mm": "jax.nn.scaled_matmul",
        "torch._scaled_mm": "jax.nn.scaled_matmul",
        "torch.unique_consecutive": "",
    },
)
_LAZY = Group(
    "model",
    "manual",
    "layers of NNX are made with all of their sizes",
    {
        "torch.nn.LazyLinear": "nnx.Linear",
        **{f"torch.nn.LazyConv{n}d": "nnx.Conv" for n in (1, 2, 3)},
        **{f"torch.nn.LazyConvTranspose{n}d": "nnx.ConvTranspose" for n in (1, 2, 3)},
        **{f"torch.nn.LazyBatchNorm{n}d": "nnx.BatchNorm" for n in (1, 2, 3)},
        **{f"torch.nn.LazyInstanceNorm{n}d": "nnx.InstanceNorm" for n in (1, 2, 3)},
        "torch.nn.UninitializedParameter": "nnx.Param",
        "torch.nn.UninitializedBuffer": "nnx.Variable",
    },
)
_TYPES = Group(
    "type",
    "equivalent",
    "types and dtypes have the same names, or Python's own",
    {
        "torch.types.*": "typing",
        "torch.types.Number": "float",
        "torch.types.Device": "jax.Device",
        "torch.return_types.*": "tuple",
        "torch.optim.ParamsT": "optax.Params",
        "torch.optim.optimizer.ParamsT": "optax.Params",
        "torch.optim.optimizer._params_t": "optax.Params",
        **{
            f"torch.{name}Tensor": "jax.Array"
            for name in (
                *("Char", "Short", "BFloat16", "cuda.Float", "cuda.Long", "cuda.Int", "cuda.Bool", "cuda.Half"),
                *("cuda.Double", "cuda.Byte", "cuda.BFloat16"),
            )
        },
        "torch.float8_e4m3fnuz": "jnp.float8_e4m3fnuz",
        "torch.float8_e5m2fnuz": "jnp.float8_e5m2fnuz",
        "torch.float8_e8m0fnu": "jnp.float8_e8m0fnu",
        "torch._six.string_classes": "str",
        "torch._six.container_abcs": "collections.abc",
        "torch._six.inf": "jnp.inf",
    },
)
_PLACES = Group(
    "device",
    "equivalent",
    "arrays live on the default device, and jit places what it makes",
    {
        "torch.get_device_module": "jax.devices()",
        "torch.tpu.*": "jax.devices()",
        "torch.OutOfMemoryError": "jax.errors.JaxRuntimeError",
        "torch.cuda.OutOfMemoryError": "jax.errors.JaxRuntimeError",
        "torch.AcceleratorError": "jax.errors.JaxRuntimeError",
    },
)
_SETTINGS = Group(
    "precision",
    "equivalent",
    "JAX has a setting of its own for it",
    {
        "torch.set_default_tensor_type": "jax.config.update('jax_enable_x64', True)",
        "torch.set_deterministic_debug_mode": "XLA_FLAGS=--xla_gpu_deterministic_ops=true",
        "torch.get_deterministic_debug_mode": "XLA_FLAGS=--xla_gpu_deterministic_ops=true",
        "torch.is_deterministic_algorithms_warn_only_enabled": "XLA_FLAGS=--xla_gpu_deterministic_ops=true",
        "torch.set_anomaly_enabled": "jax.config.update('jax_debug_nans', True)",
        "torch.is_anomaly_enabled": "jax.config.jax_debug_nans",
    },
)
_DOWNLOADS = Group(
    "checkpoint",
    "equivalent",
    "it only handles files: Python has the same",
    {
        "torch.hub.download_url_to_file": "urllib.request.urlretrieve",
        "torch.hub.urlparse": "urllib.parse.urlparse",
        "torch.hub.get_dir": N_("a directory of one's own"),
        "torch.hub.set_dir": N_("a directory of one's own"),
        "torch.hub._get_torch_home": N_("a directory of one's own"),
        "torch.hub.HASH_REGEX.*": "re",
        "torch.hub.HASH_REGEX": "re",
        "torch.hub.tqdm": "tqdm",
        "torch.utils.model_zoo.tqdm": "tqdm",
    },
)
_TREES = Group(
    "transformation",
    "equivalent",
    "JAX has trees of arrays itself",
    {"torch.fx._pytree.*": "jax.tree", "torch.utils._cxx_pytree.*": "jax.tree"},
)
_GUARDS = Group(
    "export",
    "equivalent",
    "it is asked while a model is exported, and JAX exports what it compiles",
    {"torch.onnx.is_in_onnx_export": LEAVE_OUT},
)
_SIZES = Group(
    "transformation",
    "manual",
    "sizes are Python's integers in JAX, or symbols of an export",
    {
        **{f"torch.{name}": "jax.export.symbolic_shape" for name in ("SymInt", "SymFloat", "SymBool")},
        **{
            f"torch.sym_{name}": "jax.export.symbolic_shape"
            for name in ("float", "int", "ite", "max", "min", "not", "sqrt", "sum", "fresh_size")
        },
        "torch.sym_constrain_range": "jax.export.symbolic_shape",
        "torch.sym_constrain_range_for_size": "jax.export.symbolic_shape",
    },
)
_SPARSE = Group(
    "sparse",
    "manual",
    "sparse tensors become BCOO arrays, with fewer operations",
    {
        f"torch.sparse_{name}_tensor": "jax.experimental.sparse"
        for name in ("coo", "csr", "csc", "bsr", "bsc", "compressed")
    },
)
_QUANTISED = Group(
    "export",
    "manual",
    "quantisation works on another representation and has to be set up again",
    {
        **{f"torch.nn.{name}.*": "qwix" for name in ("quantized", "intrinsic", "qat", "quantizable")},
        **{f"torch.{name}": "qwix" for name in ("qint8", "quint8", "qint32", "per_tensor_affine", "qscheme")},
        "torch.quantize_per_channel": "qwix",
        "torch.quantize_per_tensor_dynamic": "qwix",
        "torch.fake_quantize_per_tensor_affine": "qwix",
        "torch.fake_quantize_per_channel_affine": "qwix",
    },
)
_NO_DTYPE = Group(
    "type",
    "none",
    "JAX has no such dtype",
    {f"torch.{name}": "" for name in ("complex32", "chalf", "quint4x2", "quint2x4")},
)
_COMMUNICATION = Group(
    "distributed",
    "none",
    "XLA brings its own communication",
    {
        "torch.distributed.is_mpi_available": "",
        "torch.distributed.is_nccl_available": "",
        "torch.distributed.is_gloo_available": "",
        "torch.distributed.is_xccl_available": "",
        "torch.distributed.is_ucc_available": "",
        "torch.distributed.distributed_c10d.is_xccl_available": "",
        "torch.distributed.distributed_c10d.is_nccl_available": "",
    },
)
_STORAGES = ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short", "Typed", "")
_INSIDE = Group(
    "internal",
    "none",
    "it is a part of PyTorch's inside",
    {
        **{f"torch.{name}Storage": "" for name in _STORAGES},
        "torch.is_storage": "",
        "torch.Event": "",
        "torch.Stream": "",
        "torch.set_flush_denormal": "",
        "torch.set_warn_always": "",
        "torch.compiled_with_cxx11_abi": "",
        "torch.clear_autocast_cache": "",
        "torch.is_conj": "",
        "torch.is_neg": "",
        "torch.Tensor.is_conj": "",
        "torch.Tensor.is_neg": "",
        "torch.nn.functional.handle_torch_function": "",
        "torch.nn.functional.has_torch_function": "",
        "torch.nn.functional.has_torch_function_unary": "",
        "torch.nn.functional.has_torch_function_variadic": "",
        "torch.numa.*": "",
        **{
            f"torch.{name}.*": ""
            for name in (
                *("_prims_common", "_prims", "_refs", "_subclasses", "_functorch", "_guards", "_logging", "_ops"),
                *("_library", "_export", "_decomp", "_meta_registrations", "_classes", "_lazy", "_VF"),
            )
        },
    },
)
_ONE_FOR_ALL = N_("all processes take part: JAX has it for arrays of each host, outside of compiled code")
_BY_ARGUMENT = (
    Group(
        "precision",
        "equivalent",
        "JAX casts nothing by itself: casts are off here, as they always are there",
        {
            **{f"torch.{name}(enabled=False)": LEAVE_OUT for name in ("autocast", "amp.autocast", "cuda.amp.autocast")},
            "torch.is_autocast_enabled": LEAVE_OUT,
            "torch.is_autocast_cpu_enabled": LEAVE_OUT,
            "torch.amp.is_autocast_available": LEAVE_OUT,
            "torch.get_autocast_cpu_dtype": LEAVE_OUT,
            "torch.get_autocast_gpu_dtype": LEAVE_OUT,
            "torch.get_autocast_dtype": LEAVE_OUT,
        },
    ),
    Group(
        "distributed",
        "equivalent",
        _ONE_FOR_ALL,
        {
            "torch.distributed.broadcast(group=None)": "jax.experimental.multihost_utils.broadcast_one_to_all",
            "torch.distributed.all_gather(group=None)": "jax.experimental.multihost_utils.process_allgather",
            "torch.distributed.all_gather_into_tensor(group=None)": (
                "jax.experimental.multihost_utils.process_allgather"
            ),
            "torch.distributed.monitored_barrier(group=None)": "jax.experimental.multihost_utils.sync_global_devices",
        },
    ),
)
NAMES = (
    *(_OTHER_NAMES, _SOLVERS, _MODULES, _WITHOUT, _LAZY, _TYPES, _PLACES, _SETTINGS, _DOWNLOADS, _TREES, _SIZES),
    *(_GUARDS, _SPARSE, _QUANTISED, _NO_DTYPE, _COMMUNICATION, _INSIDE, *_BY_ARGUMENT),
)
