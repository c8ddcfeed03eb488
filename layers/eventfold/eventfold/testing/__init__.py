"""What a user of eventfold tests with.

`given(decider, *past).when(command).then(*events)` for rules, `rows_after(projection, *events)` for read models,
`StoreContract` (in `eventfold.testing.contract`) for whoever writes another store, `Meter` for what requests cost.
"""

from eventfold.testing.meter import Meter
from eventfold.testing.specification import given, recorded, rows_after

__all__ = ["Meter", "given", "recorded", "rows_after"]
