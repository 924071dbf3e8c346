"""What the converter is judged by: cases, an independent judge, the plain export as the peer, sizes and times."""
