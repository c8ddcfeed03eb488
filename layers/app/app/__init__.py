"""The example on eventfold: users. Put your own domain in its place."""

import gc

# A process that starts makes some 90,000 objects that stay: to look through them over and over is a tenth of its CPU.
# It counts from here on, so the command function imports nothing large before this.
gc.set_threshold(100_000)
