"""The one exception a user may see."""


class UserError(Exception):
    """Something the user can put right: the message says what is wrong and what to do.

    The command line prints it on one line and exits with code 2; Python callers may catch it.
    """
