"""Characters as strokes: taken out of glyphs or out of KanjiVG, and written in other ways."""
