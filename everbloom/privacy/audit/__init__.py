"""Empirical lower bounds on epsilon: what an attacker's success rate proves about a mechanism, whatever it claims. Statistics only; what is
attacked is elsewhere.
"""
