"""Small ONNX networks, as other groups export them."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOATS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
}


def write_onnx(
    path,
    shape,
    weight,
    *,
    last=None,
    samples_first=False,
    dtype="float32",
    inputs=("x",),
    outputs=("y",),
    edit=None,
    n_out="auto",
):
    """Write a network whose logits are ``weight`` (n_leads, n_outputs) times each lead's mean.

    ``shape`` is that of the input; ``last`` the operator behind the logits.
    """
    kind, weight = FLOATS[dtype], np.asarray(weight, dtype=dtype)
    axis = 1 if samples_first else 2
    nodes = [
        helper.make_node("ReduceMean", [inputs[0]], ["mean"], axes=[axis], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["logits" if last else outputs[0]]),
    ]
    if last:
        nodes.append(helper.make_node(last, ["logits"], [outputs[0]]))
    nodes += [helper.make_node("Identity", [outputs[0]], [name]) for name in outputs[1:]]
    columns = weight.shape[1] if n_out == "auto" else n_out
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [helper.make_tensor_value_info(name, kind, [shape[0], columns]) for name in outputs],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if edit is not None:
        edit(model)
    path.write_bytes(model.SerializeToString())
    return path
