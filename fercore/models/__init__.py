"""One builder for each network and the `registry` that names them; the layers that they share;
support vector machines; export to ONNX, and the way back for `compact`."""

__all__ = ["compact", "hybrids", "layers", "plain_cnns", "registry", "svm"]
