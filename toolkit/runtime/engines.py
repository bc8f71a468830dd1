"""Runs graphs on ONNX Runtime and OpenVINO, on the device that was asked for or not at all.

Both libraries are extras. ONNX Runtime continues on the CPU, with a warning, if the provider that it is asked
for is missing or cannot start; here, that is an error. OpenVINO computes in bf16 by default on processors
that have it; here, it computes in the precision that is asked for.
"""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import CheckpointError, ConfigError, InvalidDataError, UsageError
from toolkit.runtime.extras import import_onnx, import_onnxruntime, import_openvino
from toolkit.runtime.memory import NotEnoughMemoryError, says_out_of_memory

Target: TypeAlias = Literal["onnx", "openvino"]
ComputePrecision: TypeAlias = Literal["fp32", "bf16", "int8"]
Array: TypeAlias = NDArray[Any]

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""ONNX Runtime's providers by torch's device types."""

EXTERNAL_FILES = "session.model_external_initializers_file_folder_path"
"""ONNX Runtime's setting of the folder of the files that a graph may refer to."""

COPY_AGAIN = "copy or export the folder again"


class Engine(ABC):
    """A graph that is ready to run.

    Attributes:
        runtime: the library and its version.
        ran_on: the providers or devices that the library says it uses.
        outputs: the names of the results, in the order of ``run``.
    """

    runtime: str
    ran_on: tuple[str, ...]
    outputs: tuple[str, ...]

    @abstractmethod
    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Compute the outputs of contiguous arrays that are named as the graph's inputs.

        Raises:
            InvalidDataError: when the library cannot compute them, with its message.
            NotEnoughMemoryError: when memory runs out.
        """


def open_engine(
    target: Target,
    files: Sequence[bytes],
    *,
    device: str = "cpu",
    precision: ComputePrecision = "fp32",
    threads: int = 0,
    outputs: Sequence[str] = (),
    source: str = "the graph",
) -> Engine:
    """Prepare a graph to run.

    The graph is read from memory, so that it cannot refer to other files.

    Args:
        target: which library.
        files: the contents of the ONNX file, or of OpenVINO's XML and BIN files.
        device: torch's name of the device, such as ``cpu`` or ``cuda:1``.
        precision: in which OpenVINO computes; what is int8 in a graph stays int8, and the rest is float32.
        threads: number of threads; 0 for the library's default.
        outputs: the expected names of the results; OpenVINO has several for one result.
        source: what it is, for messages.

    Raises:
        UnavailableError: when the library is not installed; names the extra.
        ConfigError: when the library cannot use the device or the precision here.
        CheckpointError: when the graph is damaged.
    """
    if target == "onnx":
        return _OnnxEngine(files[0], device, precision, threads, source)
    return _OpenVinoEngine(files[0], files[1], device, precision, threads, outputs, source)


def runs_on(target: Target, device: str) -> bool:
    """Whether the library for a target, as it is installed here, has what a device of torch needs.

    Raises:
        UnavailableError: as ``open_engine``.
    """
    kind = device.partition(":")[0]
    if target == "openvino":
        return kind == "cpu"
    onnxruntime = import_onnxruntime("running an exported ONNX model")
    return PROVIDERS.get(kind) in onnxruntime.get_available_providers()


class _OnnxEngine(Engine):
    def __init__(
        self, graph: bytes, device: str, precision: ComputePrecision, threads: int, source: str
    ) -> None:
        onnxruntime = import_onnxruntime("running an exported ONNX model")
        self.runtime = f"onnxruntime {onnxruntime.__version__}"
        if precision == "bf16":
            raise ConfigError(
                "ONNX Runtime has no bf16 on CPUs. Hint: export with --to openvino, or with --precision fp32"
            )
        provider = _provider(device, onnxruntime)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what matters is raised
        # a graph that is read from memory may name files of weights, which would be looked for where we are
        options.add_session_config_entry(EXTERNAL_FILES, os.devnull)
        if threads:
            options.intra_op_num_threads = threads
        if provider != PROVIDERS["cpu"]:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        index = int(device.partition(":")[2] or 0)
        chosen = provider if provider == PROVIDERS["cpu"] else (provider, {"device_id": index})
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the fallback that it warns of is an error below
                self._session = onnxruntime.InferenceSession(graph, options, providers=[chosen])
        except Exception as error:  # its classes are not public, and have no common base
            if provider != PROVIDERS["cpu"] and "fallback" in str(error):
                raise ConfigError(
                    f"{source}: ONNX Runtime cannot run all of it on {provider}, only on the CPU. Hint:"
                    " --device cpu, or install what the provider needs, such as CUDA and cuDNN"
                ) from error
            raise _damaged(source, error) from error
        self.ran_on = tuple(self._session.get_providers())
        _check_provider(provider, self.ran_on, source)
        self.outputs = tuple(each.name for each in self._session.get_outputs())

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        try:
            found: list[Array] = self._session.run(list(self.outputs), dict(inputs))
        except Exception as error:
            raise _cannot_run(self.runtime, inputs, error) from error
        return found


def _provider(device: str, onnxruntime: Any) -> str:
    """The provider for a device of torch.

    Raises:
        ConfigError: when there is none, or it is not installed.
    """
    kind = device.partition(":")[0]
    provider = PROVIDERS.get(kind)
    available = onnxruntime.get_available_providers()
    if provider in available:
        return str(provider)
    install = ", or pip install onnxruntime-gpu" * (kind == "cuda")
    raise ConfigError(
        f"this onnxruntime ({onnxruntime.__version__}) cannot use the device {device!r}: it has the providers"
        f" {', '.join(available)}. Hint: --device cpu{install}"
    )


def _check_provider(wanted: str, found: Sequence[str], source: str) -> None:
    """Raise ``ConfigError`` if ONNX Runtime runs on another provider than the wanted one."""
    if not found or found[0] != wanted:
        raise ConfigError(
            f"{source}: ONNX Runtime was asked for {wanted}, but it runs on {', '.join(found) or 'nothing'}."
            " Hint: --device cpu, or install what the provider needs, such as CUDA and cuDNN"
        )


class _OpenVinoEngine(Engine):
    def __init__(
        self,
        xml: bytes,
        weights: bytes,
        device: str,
        precision: ComputePrecision,
        threads: int,
        outputs: Sequence[str],
        source: str,
    ) -> None:
        openvino = import_openvino("running an exported OpenVINO model")
        self.runtime = f"openvino {openvino.__version__.partition('-')[0]}"
        if device.partition(":")[0] != "cpu":
            raise ConfigError(
                f"models exported to OpenVINO run on the CPU here, not on {device!r}. Hint: --device cpu, or"
                " use the run itself"
            )
        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ConfigError(
                "this model was exported in bf16, which this CPU does not have. Hint: export with --precision"
                " fp32"
            )
        wanted = "bf16" if precision == "bf16" else "f32"
        options = {"INFERENCE_PRECISION_HINT": wanted, "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = str(threads)
        try:
            self._model = core.compile_model(core.read_model(model=xml, weights=weights), "CPU", options)
        except Exception as error:  # RuntimeError, or errors of parsers
            raise _damaged(source, error) from error
        self.ran_on = tuple(self._model.get_property("EXECUTION_DEVICES"))
        _check_device(self.ran_on, self._model.get_property("INFERENCE_PRECISION_HINT"), wanted, source)
        self.outputs = tuple(
            next((name for name in outputs if name in each.names), each.any_name)
            for each in self._model.outputs
        )

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        try:
            found = self._model(dict(inputs))
            # copied, because the next run writes to the same memory
            return [np.array(found[each]) for each in self._model.outputs]
        except Exception as error:
            raise _cannot_run(self.runtime, inputs, error) from error


def _check_device(devices: Sequence[str], precision: Any, wanted: str, source: str) -> None:
    """Raise ``ConfigError`` if OpenVINO runs elsewhere than on the CPU, or in another precision."""
    found = str(precision.get_type_name())
    if list(devices) != ["CPU"] or found != wanted:
        raise ConfigError(
            f"{source}: OpenVINO was asked for {wanted} on CPU, but it runs in {found} on"
            f" {', '.join(devices) or 'nothing'}. Hint: check the settings of OpenVINO in the environment"
        )


def _damaged(source: str, error: Exception) -> CheckpointError:
    return CheckpointError(f"{source} cannot be read as a graph: {_reason(error)}. Hint: {COPY_AGAIN}")


def _cannot_run(
    runtime: str, inputs: Mapping[str, Array], error: Exception
) -> InvalidDataError | NotEnoughMemoryError:
    given = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in inputs.items())
    if isinstance(error, MemoryError) or says_out_of_memory(str(error)):
        return NotEnoughMemoryError(
            f"{runtime}: memory ran out while computing the graph for {given}. Hint: fewer images at a time"
            " (--batch-size 1), or smaller ones"
        )
    return InvalidDataError(
        f"{runtime} cannot compute the graph for {given}: {_reason(error)}. Hint: give inputs of the sizes"
        " and types that the folder's manifest.json describes"
    )


def _reason(error: Exception) -> str:
    """The last line that says something in an error of a library, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else type(error).__name__
    return text.rstrip(".")[:300]


def check_target(target: str) -> None:
    """Raise an error if a target is unknown or its library is missing."""
    if target == "onnx":
        import_onnxruntime("--to onnx")
        import_onnx("--to onnx")
    elif target == "openvino":
        import_openvino("--to openvino")
        import_onnx("--to openvino")
    else:
        raise UsageError(f"unknown target {target!r}. Hint: use onnx, openvino or weights")
