// The calls to the server: gRPC-Web to the folder that the page came from, which may be below a path of a proxy.
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { confirm, signIn } from "./account.js";
import { GenerationService } from "./generated/outcrop/v1/generation_service_pb.js";
import { endedSession } from "./problem.js";

/** A call that the server refuses because no caller is signed in waits for one, and is sent again. A stream is sent again by who reads it. */
const waitForSignIn: Interceptor = (next) => async (request) => {
  await confirm();
  for (;;) {
    try {
      return await next(request);
    } catch (error) {
      const refusal = request.stream ? undefined : endedSession(error);
      if (!refusal) throw error;
      await signIn(refusal);
    }
  }
};

export const client = createClient(
  GenerationService,
  createGrpcWebTransport({ baseUrl: new URL(".", document.baseURI).href, interceptors: [waitForSignIn] }),
);
