"""Judgement and measurement of the ONNX form."""
