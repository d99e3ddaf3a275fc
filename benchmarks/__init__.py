"""How fast parazip is, told as ratios to other programs that do the same in the same run.

`python -m benchmarks prepare` makes the workloads, `run` compares, `targets` sets what is measured
beside what is asked, and `copying` does both for what is not to be compressed twice. Run from the
root of the repository; for POSIX systems only. All sizes are in decimal units: 1 MB is 1,000,000
bytes.
"""
