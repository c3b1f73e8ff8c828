//! The container image for testcontainers: `await new BedrockContainer(image).start()`. It is JavaScript, so that testcontainers and its many dependencies are not
//! needed to build this package.

import { AbstractStartedContainer, GenericContainer, Wait } from "testcontainers";
import { Emulator } from "../dist/emulator.js";

const PORT = 8991;

export class BedrockContainer extends GenericContainer {
  constructor(image, { flags = [], pace = "0,0" } = {}) {
    super(image);
    this.withExposedPorts(PORT)
      .withCommand(["--listen", `0.0.0.0:${PORT}`, "--pace", pace, ...flags])
      .withWaitStrategy(Wait.forLogMessage(/listening on/));
  }

  async start() {
    return new StartedBedrockContainer(await super.start());
  }
}

export class StartedBedrockContainer extends AbstractStartedContainer {
  constructor(container) {
    super(container);
    this.emulator = new Emulator(`http://${container.getHost()}:${container.getMappedPort(PORT)}`);
  }
}
