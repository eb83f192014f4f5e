"""One builder for each network, the registry that names them, support vector machines, ONNX
export."""

__all__ = ["registry", "svm"]
