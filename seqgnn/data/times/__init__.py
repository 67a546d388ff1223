"""Timestamps: what files hold, the calendar that they follow, gaps, seasons and the times after the end."""

from seqgnn.data.times.axis import Season as Season
from seqgnn.data.times.axis import TimeAxis as TimeAxis
from seqgnn.data.times.parse import parse_times as parse_times
from seqgnn.data.times.text import is_timestamp as is_timestamp
from seqgnn.data.times.timestamps import Times as Times
