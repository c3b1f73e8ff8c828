// The calls to the server: gRPC-Web to where the page came from.
import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { GenerationService } from "./generated/outcrop/v1/generation_service_pb.js";

export const client = createClient(GenerationService, createGrpcWebTransport({ baseUrl: location.origin }));
