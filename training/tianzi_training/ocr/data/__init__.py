"""What the recogniser learns from. Nothing here imports the test sets of ocr.evaluation."""
