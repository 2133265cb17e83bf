"""How the recogniser is measured: test sets, figures, and other recognisers beside it."""
