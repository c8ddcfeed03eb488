"""Drills: the whole under conditions that no test of a part brings about, and every promise checked afterwards."""
