#!/usr/bin/env python3
"""Prints the pinned numbers of tests/ops: keyed draws and initial weights, from plain Python.

Written from the text of the headers (ops/keyed_random.h, ops/initial_weights.h) and the papers they
name, not from the C++. Usage: python3 make_golden_random.py
"""
import math

M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def philox4x32_10(counter, key):
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & M32, (p0 >> 32) ^ c3 ^ k1, p0 & M32
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return c0, c1, c2, c3


def splitmix64(value):
    value = (value + 0x9E3779B97F4A7C15) & M64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & M64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & M64
    return value ^ (value >> 31)


def random_key(seed, purpose, when):
    value = splitmix64(splitmix64(splitmix64(seed) ^ purpose) ^ when)
    return value & M32, value >> 32


def name_id(name):
    value = splitmix64(len(name))
    for letter in name.encode():
        value = splitmix64(value ^ letter)
    return value >> 16


def words(key, sample, view, site, count):
    """index 64 | site 12 | view 4 | sample id 48, least significant first."""
    drawn, index = [], 0
    while len(drawn) < count:
        counter = index | site << 64 | view << 76 | sample << 80
        drawn += philox4x32_10([counter >> 32 * i & M32 for i in range(4)], key)
        index += 1
    return drawn[:count]


def uniform24(word):
    return (word >> 8) / 2**24


def normal(word0, word1):
    radius = math.sqrt(-2 * math.log(1 - uniform24(word0)))
    return radius * math.cos(2 * math.pi * uniform24(word1))


def main():
    key = random_key(7, 3, 41)
    print("random_key(7, augmentation, 41):", [hex(k) for k in key])
    print("name_id(encoder.conv1.weight):", hex(name_id("encoder.conv1.weight")))
    drawn = words(key, 123456789012, 1, 77, 6)
    print("words:", [hex(w) for w in drawn])
    print("uniform:", [repr(uniform24(w)) for w in drawn])
    print("normal:", [repr(normal(drawn[i], drawn[i + 1])) for i in (0, 2, 4)])
    weights = random_key(1, 1, 0)
    drawn = words(weights, name_id("encoder.conv1.weight"), 0, 0, 10)
    print("fill_normal(0.5):", [repr(0.5 * normal(drawn[2 * i], drawn[2 * i + 1])) for i in range(5)])
    print("fill_uniform(0.25):", [repr(0.25 * (2 * uniform24(drawn[2 * i]) - 1)) for i in range(5)])


main()
