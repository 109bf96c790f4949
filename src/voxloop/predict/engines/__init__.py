"""What runs a network's forward pass: PyTorch, OpenVINO or ONNX Runtime, checked against it."""
