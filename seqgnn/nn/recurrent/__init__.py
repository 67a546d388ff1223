"""Recurrent and graph-recurrent layers, each published one in a file of its own."""
