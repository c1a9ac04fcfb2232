"""A budget that many share: who holds how much of it is known to the holders alone."""

from __future__ import annotations


class Ledger:
    """`used` of `most`; holders add and take back what is theirs."""

    __slots__ = ("most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    @property
    def exhausted(self) -> bool:
        """Whether holders should give something back."""
        return self.used > self.most
