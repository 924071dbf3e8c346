"""What the device tells about itself: counts only, kept until the server has committed them."""
