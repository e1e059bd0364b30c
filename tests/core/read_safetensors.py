# SPDX-License-Identifier: Apache-2.0
"""Reads a safetensors file by the letter of the format, with NumPy alone, and prints what is in it.

One line a tensor, in the order of the data: name, shape, sum of the elements; then the SHA-256 of
all data in the order of names.
"""
import hashlib
import json
import struct
import sys

import numpy

content = open(sys.argv[1], "rb").read()
(length,) = struct.unpack("<Q", content[:8])
header = content[8 : 8 + length]
assert length % 8 == 0 and header.startswith(b"{"), "header not aligned"
data = content[8 + length :]
entries = json.loads(header)
print("metadata", sorted(entries.pop("__metadata__", {}).items()))
sha = hashlib.sha256()
end = 0
for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
    assert entry["dtype"] == "F32" and entry["data_offsets"][0] == end, entry
    begin, end = entry["data_offsets"]
    tensor = numpy.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
    print(name, list(tensor.shape), float(tensor.sum(dtype="f8")))
for name in sorted(entries):
    begin, stop = entries[name]["data_offsets"]
    sha.update(data[begin:stop])
assert end == len(data), "bytes beyond the last tensor"
print("sha256", sha.hexdigest())
