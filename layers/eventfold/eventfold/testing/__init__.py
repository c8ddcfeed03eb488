"""What a user of eventfold tests with.

`given(decider, *past).when(command).then(*events)` for rules, `GivenStreams` for those over several streams,
`rows_after(projection, *events)` for read models, `Meter` for what requests cost, `FaultInjector` for what goes
wrong on the way. Beside them, imported by their own names since they bring pytest or read a template:
`eventfold.testing.contract`, `.transactions` and `.unique` for whoever writes another store,
`eventfold.testing.pump` for a stream's deliveries, `eventfold.testing.checker` for whether a history was kept.
"""

from eventfold.testing.faults import Fault, FaultInjector
from eventfold.testing.meter import Meter
from eventfold.testing.specification import GivenStreams, given, past, recorded, rows_after

__all__ = ["Fault", "FaultInjector", "GivenStreams", "Meter", "given", "past", "recorded", "rows_after"]
