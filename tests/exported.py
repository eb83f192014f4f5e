"""A tiny exported network for the tests of the recogniser, made without Keras: it tells light faces
from dark ones."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fercore.data.faces import CLASS_NAMES


def write(
    folder: Path, *, classes: int = 7, side: int = 40, names: tuple[str, ...] = CLASS_NAMES
) -> Path:
    """NAME.onnx and its card: logit k is k times the mean of the picture / 64, so that dark means
    the first class."""
    weights = [
        numpy_helper.from_array(
            np.arange(classes, dtype=np.float16).reshape(1, -1) / 64, "weights"
        ),
        numpy_helper.from_array(np.zeros(classes, np.float16), "bias"),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Cast", ["weights"], ["w"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["bias"], ["b"], to=TensorProto.FLOAT),
        helper.make_node("Gemm", ["mean", "w", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("image", ["n", side, side, 1]), ("probabilities", ["n", classes]))
    ]
    graph = helper.make_graph(nodes, "tiny", values[:1], values[1:], weights)
    opset = [helper.make_opsetid("", 17)]
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "tiny.onnx")
    card = {
        "class_names": list(names),
        "side": 40,
        "normalisation": "raw",
        "precisions": {"float32": {"temperature": 2.0}},
    }
    (folder / "tiny.json").write_text(json.dumps(card))
    return folder / "tiny.onnx"
