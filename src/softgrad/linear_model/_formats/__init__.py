"""Files of a fitted model: safetensors files of softgrad, and ONNX graphs for other runtimes."""
