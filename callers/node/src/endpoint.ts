// The endpoint and its security, and the options of a channel.
import { isIP } from "node:net";
import { type ChannelCredentials, type ChannelOptions, credentials } from "@grpc/grpc-js";
import { serviceConfig } from "./service_config.js";

/** How to connect. Certificates and keys are PEM. */
export type EndpointOptions = {
  /** Is sent with every call. Without encryption it is only sent to this machine. */
  apiKey?: string | undefined;
  /** The authorities to trust in place of those that Node.js trusts. */
  ca?: Uint8Array | undefined;
  certificate?: Uint8Array | undefined;
  privateKey?: Uint8Array | undefined;
  /** Default: true. False turns the retry policy off. */
  retries?: boolean;
  /** Allows an API key to another machine without encryption. Others on the network can read it. */
  insecureKeyOverPlaintext?: boolean;
};

export type Connection = { target: string; credentials: ChannelCredentials; options: ChannelOptions };

/** `http://HOST:PORT` is not encrypted, `https://HOST:PORT` is. Without a scheme it is the former on this machine and the latter elsewhere. */
export function connection(endpoint: string, options: EndpointOptions): Connection {
  const wrong = () => new TypeError(`"${endpoint}" is not an endpoint: write http://HOST:PORT (not encrypted) or https://HOST:PORT (TLS)`);
  const hasScheme = endpoint.includes("://");
  const text = hasScheme ? endpoint : `http://${endpoint}`;
  if (!URL.canParse(text)) throw wrong();
  const url = new URL(text);
  if (!["http:", "https:"].includes(url.protocol) || !url.hostname || !["", "/"].includes(url.pathname)) throw wrong();
  const isEncrypted = hasScheme ? url.protocol === "https:" : !isLoopback(url.hostname);
  const { apiKey, ca, certificate, privateKey } = options;
  if (!certificate !== !privateKey) throw new TypeError("a certificate and its private key belong together, and one is missing");
  if (!isEncrypted && (ca || certificate)) throw new TypeError(`"${endpoint}" is not encrypted, so certificates have no effect. Write https://`);
  if (apiKey !== undefined) {
    if (!/^[!-~]+$/.test(apiKey)) throw new TypeError("the API key is empty, or has spaces or characters that are not ASCII");
    if (!isEncrypted && !isLoopback(url.hostname) && !options.insecureKeyOverPlaintext) {
      throw new TypeError(
        `"${endpoint}" is not encrypted, so others on the network could read the API key. Write https://, or allow it with insecureKeyOverPlaintext`,
      );
    }
  }
  // URL leaves out the port of its scheme.
  const port = url.port || (/:80\/?$/.test(endpoint) || !isEncrypted ? 80 : 443);
  const buffer = (pem: Uint8Array | undefined) => (pem ? Buffer.from(pem) : null);
  return {
    target: `${url.hostname}:${port}`,
    credentials: isEncrypted ? credentials.createSsl(buffer(ca), buffer(privateKey), buffer(certificate)) : credentials.createInsecure(),
    options: {
      "grpc.service_config": JSON.stringify(serviceConfig),
      "grpc.enable_retries": options.retries === false ? 0 : 1,
      // Pings during a call notice a connection that is gone. The server allows them.
      "grpc.keepalive_time_ms": 20_000,
      "grpc.keepalive_timeout_ms": 20_000,
      // Images and documents are larger than the default of 4 MiB.
      "grpc.max_receive_message_length": -1,
      "grpc.primary_user_agent": "outcrop-node/0.1.0",
    },
  };
}

function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "");
  return host === "localhost" || (isIP(host) === 4 && host.startsWith("127.")) || host === "::1" || host.startsWith("::ffff:7f");
}
