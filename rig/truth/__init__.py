"""The independent oracle: scalar, on other libraries than the code under test."""
