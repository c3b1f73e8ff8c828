//! What can go wrong between a test and the emulator. None of these is an error that Bedrock would have.

/** The emulator refused an operation of its own, or cannot be reached. */
export class EmulatorError extends Error {
  override name = "EmulatorError";
}

/** The process did not start, or has ended. The message has what it wrote to standard error. */
export class NotReady extends EmulatorError {
  override name = "NotReady";
}

/** The requests that a test waited for did not come in time. The message lists those that did. */
export class RequestsMissing extends EmulatorError {
  override name = "RequestsMissing";
}
