"""The application: the packages that it is made of. A new aggregate is one more."""

from eventfold.application import Application

application = Application("app.users", "app.accounts")
