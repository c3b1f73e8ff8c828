//! The container image for testcontainers: `await new BedrockContainer(image).start()`.

import { AbstractStartedContainer, GenericContainer, type StartedTestContainer, Wait } from "testcontainers";
import { Emulator } from "./emulator.js";

const PORT = 8991;

/** A container of the emulator, which is ready when `start` resolves. `flags` are those of `bedrock-emulator`. */
export class BedrockContainer extends GenericContainer {
  constructor(image: string, { flags = [], pace = "0,0" }: { flags?: readonly string[]; pace?: string } = {}) {
    super(image);
    this.withExposedPorts(PORT)
      .withCommand(["--listen", `0.0.0.0:${PORT}`, "--pace", pace, ...flags])
      .withWaitStrategy(Wait.forLogMessage(/listening on/));
  }

  override async start(): Promise<StartedBedrockContainer> {
    return new StartedBedrockContainer(await super.start());
  }
}

/** A running container. */
export class StartedBedrockContainer extends AbstractStartedContainer {
  /** The operations of the emulator in this container. */
  readonly emulator: Emulator;

  constructor(container: StartedTestContainer) {
    super(container);
    this.emulator = new Emulator(`http://${container.getHost()}:${container.getMappedPort(PORT)}`);
  }
}
