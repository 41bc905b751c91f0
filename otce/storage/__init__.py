"""Objects and tables at any fsspec URI."""
