// The calls to the server: gRPC-Web to the folder that the page came from, which may be below a path of a proxy.
import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { GenerationService } from "./generated/outcrop/v1/generation_service_pb.js";

export const client = createClient(
  GenerationService,
  createGrpcWebTransport({ baseUrl: new URL(".", document.baseURI).href }),
);
