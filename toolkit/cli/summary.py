"""``toolkit summary``."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from toolkit.cli.options import add_plugin_files_argument
from toolkit.cli.parsed import load_plugin_files
from toolkit.reading.files import expanded
from toolkit.runtime.text import print_whole

if TYPE_CHECKING:
    from rich.table import Table

    from toolkit.models.contract import Model
    from toolkit.models.summary import ModelSummary

SUMMARY = "layers, parameters, FLOPs and receptive field of a model"

CLASSES = 21
SIZE = (512, 512)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument(
        "model",
        metavar="PLUGIN|RUN|FILE",
        help="a plugin's name or file, the folder of a run, or a checkpoint file",
    )
    parser.add_argument(
        "--classes",
        type=int,
        metavar="N",
        help=f"number of classes for which a plugin's model is built; default: {CLASSES}",
    )
    parser.add_argument(
        "--size",
        type=_size,
        default=SIZE,
        metavar="HxW",
        help="height and width of the image; default: 512x512",
    )
    parser.add_argument(
        "--depth",
        type=int,
        default=2,
        metavar="N",
        help="levels of modules in the table, 0 for none; default: 2",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object, with the layers of all levels, and nothing else",
    )
    add_plugin_files_argument(parser)
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="settings of the plugin, such as encoder=resnet34"
    )


def run(args: argparse.Namespace) -> int:
    """Build or load the model, summarize it and print the result."""
    from toolkit.errors import UsageError

    if args.depth < 0:
        raise UsageError(f"--depth must be 0 or more, not {args.depth}")
    load_plugin_files(args)
    model, what = _model(args)

    from toolkit.models.summary import summarize

    summary = summarize(model, args.size)
    if args.json:
        print_whole(json.dumps({"model": what} | to_json(summary), allow_nan=False))
        return 0
    from toolkit.runtime.terminal import Terminal

    print(what)
    if args.depth:
        Terminal().print(layer_table(summary, args.depth))
    for line in describe(summary):
        print(line)
    return 0


def _size(text: str) -> tuple[int, int]:
    """``512x512`` as numbers."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"expected height and width, such as 512x512, not {text!r}")
    return int(height), int(width)


def _model(args: argparse.Namespace) -> tuple[Model, str]:
    """The requested model, and a line that identifies it."""
    from toolkit import registry
    from toolkit.config import settings_class, validate
    from toolkit.config.keys import for_sections
    from toolkit.config.tree import parse_words
    from toolkit.errors import UsageError
    from toolkit.models.building import build_model

    path = expanded(args.model)
    is_plugin = args.model in registry.plugins().names()
    # a folder is data; the code of a plugin in one is named with --plugin
    if not is_plugin and (path.suffix == ".safetensors" or path.is_dir()):
        from toolkit.models.building import load_model
        from toolkit.registry.discovery import is_run

        if (path / "__init__.py").is_file() and not is_run(path):
            raise UsageError(
                f"{path} is not a run, and code is run only if it is given as a plugin. Hint: toolkit summary"
                f" {path.name} --plugin {path}, if that is the plugin's name"
            )
        if args.classes is not None or args.settings:
            raise UsageError(
                f"{path} has its own classes and settings. Hint: leave out"
                f" {' '.join(args.settings) or '--classes'}"
            )
        model, manifest = load_model(path)
        return (
            model,
            f"{path}: plugin {manifest.plugin}, {len(manifest.classes)} classes, step {manifest.step}",
        )
    if not is_plugin and "/" in args.model and not path.exists():
        raise UsageError(
            f"nothing at {path}: expected a plugin's name or file, the folder of a run, or a checkpoint file"
        )
    count = CLASSES if args.classes is None else args.classes
    if count < 1:
        raise UsageError(f"--classes must be 1 or more, not {count}")
    plugin = registry.named(registry.plugins(), args.model, by_user=True)
    sections = for_sections(parse_words(args.settings), [("model", settings_class(plugin))])
    tree = sections.get("model", {})
    settings = validate(settings_class(plugin), tree, source=f"settings of plugin {plugin.name!r}")
    model = build_model(plugin, settings, tuple(f"class {i}" for i in range(count)))
    return model, " ".join(["plugin", plugin.name, *args.settings, f"for {count} classes"])


def layer_table(summary: ModelSummary, depth: int) -> Table:
    """The modules of the first levels, indented."""
    from rich.table import Table

    table = Table("layer", "type", "output", box=None, header_style="bold", pad_edge=False)
    table.add_column("parameters", justify="right")
    for layer in summary.layers:
        if layer.depth <= depth:
            learns_not = " (not used in training)" if layer.untrained == layer.parameters else " (frozen)"
            mark = learns_not if layer.parameters and not layer.trainable else ""
            name = "  " * (layer.depth - 1) + layer.name.rpartition(".")[2]
            table.add_row(
                name,
                layer.type,
                _shapes(layer.output_shapes),
                f"{layer.parameters:,}{mark}" if layer.parameters else "",
            )
    return table


def _shapes(shapes: tuple[tuple[int, ...], ...]) -> str:
    if not shapes:
        return ""
    last = "×".join(map(str, shapes[-1]))
    return last if len(shapes) == 1 else f"{len(shapes)} tensors, the last {last}"


def describe(summary: ModelSummary) -> list[str]:
    """The figures of the whole model, in lines; unknown figures are left out, and the notes say
    why.
    """
    facts: dict[str, str] = {
        "parameters": f"{summary.parameters:,}: {summary.trainable:,} trainable, {summary.frozen:,} frozen"
        + (f", {summary.untrained:,} not used in training" if summary.untrained else "")
    }
    if summary.input_shape and summary.output_shape:
        facts["image"] = (
            f"{_shapes((summary.input_shape,))} as network input, logits {_shapes((summary.output_shape,))}"
        )
    if summary.flops is not None and summary.activations is not None:
        facts["FLOPs"] = f"{summary.flops / 1e9:,.4g} G multiply-adds, as counted by fvcore"
        facts["activations"] = (
            f"{summary.activations / 1e6:,.4g} M values in outputs of convolutions and matrix products, as"
            " counted by fvcore"
        )
    if dilated := _dilated(summary):
        facts["dilated kernels"] = dilated
    if summary.receptive_field:
        facts["receptive field"] = _axes(
            [f"{axis} pixels" if axis.pixels else str(axis) for axis in summary.receptive_field]
        )
    if summary.output_stride:
        facts["output stride"] = _axes([f"{stride:g}" for stride in summary.output_stride])
    return [f"{key:<17}{value}" for key, value in facts.items()] + [f"note: {note}" for note in summary.notes]


def _dilated(summary: ModelSummary) -> str:
    """The extent of the dilated kernels, each kind once, with the number of layers."""
    kinds: dict[str, int] = {}
    for layer in summary.layers:
        if layer.kernel and layer.dilation and layer.kernel != layer.effective_kernel:
            kind = (
                f"{_shapes((layer.kernel,))} with dilation {_alike(layer.dilation)} covers"
                f" {_shapes((layer.effective_kernel or (),))}"
            )
            kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(f"{kind} ({count} ×)" for kind, count in kinds.items())


def _alike(numbers: tuple[int, ...]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else "×".join(map(str, numbers))


def _axes(axes: list[str]) -> str:
    """One text for height and width if they are equal."""
    height, width = axes
    return height if height == width else f"{height} high, {width} wide"


def to_json(summary: ModelSummary) -> dict[str, Any]:
    """Everything in plain values. Unknown figures are null; a receptive field whose ``pixels`` are null is
    the whole image.
    """
    import dataclasses

    values = dataclasses.asdict(summary)
    values["frozen"] = summary.frozen
    return values
