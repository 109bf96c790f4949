"""The use cases, one file each: plain functions that print nothing and return what they did."""
