"""What each feature contributed to a prediction: Shapley values against the training rows, as the bundle tells them."""
