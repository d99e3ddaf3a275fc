"""The test suites of programs that use zipfile, with parazip in its place.

`python -m neighbours [NAME...]` runs each suite as it is, under `parazip run`, and with
`parazip.patch()`, and compares the outcomes test by test. It ends with 1 if one differs that
`explained` does not have. Run from the root of the repository; for POSIX systems only.

What the suites need comes from the package index, and where only the repository of a package has
its tests, from there, by git. Who has a mirror tells git of it (`url.<base>.insteadOf`).
"""
