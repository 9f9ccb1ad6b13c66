"""Generated from `proto/manman/v1` by `tools/generate.py`; never edited by hand."""
