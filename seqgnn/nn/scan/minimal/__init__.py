"""Cells whose gates do not see the hidden state: one product for all steps, then an elementwise recurrence."""
