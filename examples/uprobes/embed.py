"""usage: embed.py OBJECT OUTPUT.c: an object file as an array"""
import sys

data = open(sys.argv[1], "rb").read()
with open(sys.argv[2], "w") as out:
    out.write("#include <stddef.h>\nextern const unsigned char count_hit_object[];\n"
              "extern const size_t count_hit_object_size;\n")
    out.write("const unsigned char count_hit_object[] = {%s};\n" % ",".join(map(str, data)))
    out.write("const size_t count_hit_object_size = %d;\n" % len(data))
