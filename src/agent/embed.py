#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""embed.py IMAGE OUTPUT.c: the image as a C array."""
import sys

image = open(sys.argv[1], "rb").read()
with open(sys.argv[2], "w") as out:
    out.write('#include "agent/image.h"\n\n')
    out.write("const unsigned char utrace_agent_image[] __attribute__((aligned(64))) = {\n")
    for i in range(0, len(image), 20):
        out.write("\t" + "".join(f"{byte}," for byte in image[i:i + 20]) + "\n")
    out.write("};\n\nconst size_t utrace_agent_image_size = sizeof(utrace_agent_image);\n")
