import { AbstractStartedContainer, GenericContainer, type StartedTestContainer } from "testcontainers";
import type { Emulator } from "../dist/emulator.js";

/** A container of the emulator, which is ready when `start` resolves. `flags` are those of `bedrock-emulator`. */
export declare class BedrockContainer extends GenericContainer {
  constructor(image: string, options?: { flags?: readonly string[]; pace?: string });
  start(): Promise<StartedBedrockContainer>;
}

/** A running container. */
export declare class StartedBedrockContainer extends AbstractStartedContainer {
  /** The operations of the emulator in this container. */
  readonly emulator: Emulator;
  constructor(container: StartedTestContainer);
}
