"""The recurrence over time: the cells' equations, the reference loop, and its fast engines."""
