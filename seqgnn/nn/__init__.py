"""Layers: recurrent nets, graph convolutions, and graph convolutions inside recurrent cells."""
