"""From scikit-learn to ONNX: the plans that may be tried, and the choice between them by parity."""
