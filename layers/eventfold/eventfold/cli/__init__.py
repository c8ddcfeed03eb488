"""The operator's command line: `eventfold`. Works on the local stack without flags, on AWS with a stack's name."""
