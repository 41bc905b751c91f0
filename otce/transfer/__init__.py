"""Transfers that are really made, and what they give."""
