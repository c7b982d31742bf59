"""Passwords that many people have, and so the first that are tried: the 30,000 most frequent of stolen ones.

The list is that of zxcvbn (MIT), which is installed with camrelay: nobody is asked over the network.
"""

from __future__ import annotations

from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-untyped]

#: In lower case.
COMMON_PASSWORDS: frozenset[str] = frozenset(FREQUENCY_LISTS["passwords"])
