"""Tells what libzip, which ziptool and zipcmp are made of, sees in archives; see `views`.

With `--version` it tells that of the library, and fails if there is none.
"""

import ctypes
import hashlib
import sys
from ctypes import c_char_p, c_int64, c_uint16, c_uint64, c_void_p
from ctypes.util import find_library

CHUNK = 1 << 20
AS_SPELLED = 64
"""`ZIP_FL_ENC_RAW`: names as they are, not as libzip guesses."""
READ_ONLY = 16
"""`ZIP_RDONLY`."""

library = ctypes.CDLL(find_library("zip") or "libzip.so.5")


def declare(name, result, *arguments):
    """A function of the library."""
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


zip_open = declare("zip_open", c_void_p, c_char_p, ctypes.c_int, c_void_p)
zip_discard = declare("zip_discard", None, c_void_p)
zip_get_num_entries = declare("zip_get_num_entries", c_int64, c_void_p, c_uint16)
zip_get_name = declare("zip_get_name", c_char_p, c_void_p, c_uint64, ctypes.c_uint32)
zip_fopen_index = declare("zip_fopen_index", c_void_p, c_void_p, c_uint64, ctypes.c_uint32)
zip_fread = declare("zip_fread", c_int64, c_void_p, c_void_p, c_uint64)
zip_fclose = declare("zip_fclose", ctypes.c_int, c_void_p)


def view(path):
    """Names and hashes; OSError if anything is refused."""
    archive = zip_open(path.encode(), READ_ONLY, None)
    if not archive:
        raise OSError("not an archive")
    try:
        for number in range(zip_get_num_entries(archive, 0)):
            name = zip_get_name(archive, number, AS_SPELLED)
            if name is None:
                raise OSError("no name")
            if not name.endswith(b"/"):
                yield name, hash_member(archive, number)
    finally:
        zip_discard(archive)


def hash_member(archive, number):
    """The hash of what a member holds."""
    member = zip_fopen_index(archive, number, 0)
    if not member:
        raise OSError("cannot be opened")
    found = hashlib.sha256()
    chunk = ctypes.create_string_buffer(CHUNK)
    try:
        while length := zip_fread(member, chunk, CHUNK):
            if length < 0:
                raise OSError("cannot be read")
            found.update(memoryview(chunk)[:length])
    finally:
        is_bad = zip_fclose(member)
    if is_bad:
        raise OSError("damaged")
    return found


if sys.argv[1:] == ["--version"]:
    print(declare("zip_libzip_version", c_char_p)().decode())
    sys.exit()
for line in sys.stdin:
    try:
        told = [f"{name.hex()}={found.hexdigest()[:16]}" for name, found in view(line[:-1])]
    except OSError:
        told = ["refused"]
    print(" ".join(told), flush=True)
