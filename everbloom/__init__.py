"""everbloom: federated, differentially private, continually learning recommenders.

This package is the science that both sides share. It knows no server, no client and no simulator.
"""
