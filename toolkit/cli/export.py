"""``toolkit export``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.cli.next_steps import plugin_options
from toolkit.cli.options import add_data_arguments, add_plugin_files_argument, add_settings_argument, positive
from toolkit.cli.parsed import data_choice, default_results, is_setting, load_plugin_files
from toolkit.runtime.text import print_whole
from toolkit.wording import quoted

if TYPE_CHECKING:
    from toolkit.export.front import Exported

SUMMARY = "export a run to ONNX or OpenVINO, if it gives the same answers there, or its weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument("run", metavar="RUN", help="run folder or checkpoint file")
    parser.add_argument(
        "--to",
        default="weights",
        choices=["onnx", "openvino", "weights"],
        help=(
            "what to write: a folder for ONNX Runtime or OpenVINO, which can be used wherever a run can; or"
            " the weights in the format of the model's original software (the default)"
        ),
    )
    what = (
        "folder to write, with --to onnx or openvino; default: exports/<run>-<to>. With --to weights, the"
        ' torch file {"model": tensors}, such as weights.pth, next to which the manifest is written as'
        " weights.json; default: results/<run>.pth"
    )
    parser.add_argument("--out", type=Path, metavar="PATH", help=what)
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=["fp32", "bf16", "int8"],
        help="in which the networks are computed; bf16 with --to openvino alone, int8 not for maskrcnn",
    )
    parser.add_argument(
        "--size",
        type=height_and_width,
        metavar="HxW",
        help="height and width in pixels, such as 480x640, of the only images that the export is to take, for"
        " runtimes that need fixed sizes; default: any size",
    )
    add_data_arguments(parser, default="the data that RUN was trained on")
    parser.add_argument(
        "--split", metavar="S", help="the split to compare on; default: the dataset's validation split"
    )
    parser.add_argument(
        "--images",
        type=positive,
        default=100,
        metavar="N",
        help="on how many images the export is compared with RUN; default: 100",
    )
    add_plugin_files_argument(parser)
    add_settings_argument(parser, "settings of the model, the dataset and the evaluators")


def run(args: argparse.Namespace) -> int:
    """Export, and print what was written."""
    load_plugin_files(args)
    _refuse_paths(args)
    if args.to == "weights":
        return _export_weights(args)
    from toolkit.export.front import export_run

    results = default_results(args.run)
    out = args.out or Path("exports") / f"{results.name}-{args.to}"
    exported = export_run(
        args.run,
        out,
        target=args.to,
        precision=args.precision,
        choice=data_choice(args),
        size=args.size,
        images=args.images,
        show_progress=True,
    )
    for line in _summary(exported):
        print(line)
    plugins = "".join(f" {quoted(word)}" for word in plugin_options(args.plugin))
    print_whole(f"To use it: toolkit infer {quoted(out)} IMAGES{plugins}")
    return 0


def height_and_width(text: str) -> tuple[int, int]:
    """The argument of ``--size``."""
    height, times, width = text.lower().partition("x")
    if not (times and height.isdecimal() and width.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, such as 480x640, not {text!r}")
    return int(height), int(width)


def _refuse_paths(args: argparse.Namespace) -> None:
    """Raise ``UsageError`` for a word that is no setting, which is probably meant as the output."""
    from toolkit.errors import UsageError

    for word in args.settings:
        if not is_setting(word):
            raise UsageError(
                f"after RUN, export expects settings as key=value, not {word!r}. Hint: --out {quoted(word)}"
                " names what is written"
            )


def _export_weights(args: argparse.Namespace) -> int:
    from toolkit.errors import UsageError
    from toolkit.export.weights import export_model

    given = [name for name in ("data", "data_dir", "split") if getattr(args, name) is not None]
    if args.settings or given or args.size or args.precision != "fp32":
        raise UsageError(
            "--to weights copies the weights, without comparing anything. Hint: leave out --data, --data-dir,"
            " --split, --size, --precision and settings, or add --to onnx"
        )
    results = default_results(args.run)
    out = args.out or results.with_name(f"{results.name}.pth")
    count = export_model(args.run, out)
    manifest = quoted(out.with_suffix(".json"))
    print(f"{count} tensors written to {quoted(out)}; their origin is described in {manifest}")
    print_whole(f"To read them: torch.load({str(out)!r}, weights_only=True)['model']")
    return 0


def _summary(exported: Exported) -> list[str]:
    """What was written and how well it agrees, as lines of text."""
    from toolkit.export.parity import LIMITS, METRIC_LIMITS

    measured, manifest = exported.measured, exported.manifest
    exact = manifest.precision == "fp32"
    first = "" if exact else ", in fp32"
    files = [file.name for graph in manifest.graphs for file in graph.files]
    places = ", ".join(sorted({place for each in measured.ran_on.values() for place in each}))
    worst = max(measured.tensors.values(), default=0.0)
    limits = {"pixels": LIMITS.pixels, "boxes": LIMITS.boxes, "scores": LIMITS.scores}
    shown = [
        f"{name} {value:.2g} (limit {limits.get(name, LIMITS.mask_iou):g})"
        for name, value in measured.predictions.items()
        if name != "undecided"
    ]
    rows = {
        "ran on": f"{places} ({measured.runtime}), in {manifest.precision}",
        "tensors": f"{worst:.1e} of the largest value, in {len(measured.tensors)} sizes{first}",
        "predictions": f"{', '.join(shown) or 'equal'}, in {measured.images} images{first}",
    }
    limit = METRIC_LIMITS[manifest.precision]
    rows["metrics"] = f"the main one of each evaluator may differ by {limit:g}"
    for name, values in _main(measured.metrics).items():
        a, b = ("undefined" if value is None else f"{value:.4f}" for value in values.values())
        rows[name] = f"{a} in torch, {b} exported"
    if measured.program is not None:
        rows["predict.py"] = "gives the same answers without torch"
        if not exact:
            rows["predict.py"] += ", up to rounding"
    width = max(len(name) for name in rows)
    lines = [f"{', '.join(files)} written to {quoted(exported.folder)}; compared with torch:"]
    return lines + [f"  {name:<{width}}  {text}" for name, text in rows.items()]


def _main(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The first metrics; the first of each prompt protocol if there are several."""
    protocols = [name.rpartition("/")[0] for name in metrics]
    names = [name for i, name in enumerate(metrics) if protocols[i] not in protocols[:i]]
    return {name: metrics[name] for name in (names if len(names) > 1 else list(metrics)[:3])}
