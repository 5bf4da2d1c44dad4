"""Noise in integers, one share on each device, so that a server that sees only the sum of a cohort sees a private one.

Distributed discrete Gaussian (Kairouz, Liu and Steinke, ICML 2021, arXiv:2102.06387) and Skellam (Agarwal, Kairouz and Liu, NeurIPS 2021,
arXiv:2110.04995): clip, rotate, scale, round to integers, add an integer share of noise, send modulo 2^bits. `Encoding` is all of it.
"""
