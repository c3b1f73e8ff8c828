"""What can go wrong between a test and the emulator. None of these is an error that Bedrock would have."""


class EmulatorError(Exception):
    """The emulator refused an operation of its own, or cannot be reached."""


class NotReady(EmulatorError):
    """The process did not start, or has ended. The message has what it wrote to standard error."""


class RequestsMissing(EmulatorError, AssertionError):
    """The requests that a test waited for did not come in time. The message lists those that did."""
