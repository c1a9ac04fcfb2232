"""What one commit of the store looked like; every subscription samples the same one."""

from __future__ import annotations

from dataclasses import dataclass

from opcua_bms.ua.store import F64, I64, U8, U32, U64, Derived, ValueStore


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """References to the arrays of a commit, which never change."""

    n_numbers: int
    values: F64
    bits: U64
    status: U32 | Derived
    source_ticks: I64 | Derived
    detail: U8
    server_ticks: int
    generation: int

    @classmethod
    def of(cls, store: ValueStore) -> Snapshot:
        """The store as it is now."""
        return cls(
            store.n_numbers,
            store.values,
            store.bits,
            store.status,
            store.source_ticks,
            store.detail,
            store.server_ticks,
            store.generation,
        )
