"""The example on eventfold: users. Put your own domain in its place."""
