"""The Open Inference Protocol, version 2, over REST: endpoints, requests, tensors in both forms, answers."""
