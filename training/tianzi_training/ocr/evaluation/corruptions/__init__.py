"""Print spoiled in one way at a time. It is written apart from ocr.data.augment, to be measured on alone."""
