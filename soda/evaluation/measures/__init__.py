"""One file a measure: it declares its figures at the top, without torch, and computes them below."""
