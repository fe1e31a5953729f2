"""Faces of photographs restored: found, aligned, made small as the training data was, hallucinated, pasted back."""
