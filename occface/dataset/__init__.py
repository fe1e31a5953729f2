"""Data sets of occluded LR / non-occluded HR face pairs in HDF5: make, read, verify."""
