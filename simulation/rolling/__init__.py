"""Rolling-origin cross-validation (Tashman, 2000): is a result one of the method, or of the month that happened to be tested?"""
