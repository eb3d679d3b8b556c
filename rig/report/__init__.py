"""What a run leaves, made from its folder and its verdict: a page, files for programs, exports."""
