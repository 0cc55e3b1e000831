"""Level 5: the jobs as a user names them: compress, pack, evaluate, tune and their report."""
